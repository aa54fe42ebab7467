-- Health checks, the status and its history.
local support = require "support"
local weirpool = require "weirpool"

support.each("a pool's health", function(db)
    it("is checked by a caller, and told", function()
        local pool = assert(db.open { min_size = 0, max_size = 1 })
        local health = assert(pool:health())
        assert.equal("healthy", health.status)
        assert.same({}, health.reasons)
        assert.is_nil(health.last_check_age)
        health = assert(pool:check_health())
        assert.equal(1, health.passed)
        assert.is_true(health.latency > 0 and health.latency < 5)
        local connection = assert(pool:connection())
        health = assert(pool:check_health { timeout = 0.02 })
        assert.same({}, health.reasons) -- nobody was asked
        assert.matches("^CheckoutTimeout: ", health.last_failure)
        assert.equal(1, health.failed)
        assert.equal(0, health.failures_in_a_row)
        connection:close()
        pool.breaker:force_open()
        health = assert(pool:check_health())
        assert.equal("unhealthy", health.status)
        assert.is_truthy(health.reasons.circuit_open)
        pool.breaker:force_close()
        local events = assert(pool:health_history())
        local kinds = { events[1].kind, events[2].kind, events[3].kind }
        assert.same({ "passed", "failed", "status" }, kinds)
        assert.equal("degraded", events[3].status) -- one of the two breakers is open
        assert.is_true(events[3].age >= 0 and events[3].reasons.connect_failing ~= nil)
        assert.same({}, pool:health_history(events[#events].number))
        assert.equal("healthy", pool:check_health({ timeout = false }).status)
        local misuses = { { 3, "a table" }, { { timeout = 0 }, "timeout" }, { { time = 1 }, "time" } }
        for _, wrong in ipairs(misuses) do
            support.misuse(wrong[2], function()
                pool:check_health(wrong[1])
            end)
        end
        assert(pool:close())
        assert.is_string(pool:health().reasons.closed)
        local nothing, err = pool:check_health()
        assert.is_nil(nothing)
        assert.equal("PoolClosed", err.class)
    end)

    it("is asked of idle connections", function()
        local pool = assert(db.open {
            min_size = 2,
            health_check_interval = 0.01,
            health_check_query = "select 1 as well",
            background_thread = true,
        })
        support.eventually(function()
            return pool:health().passed > 3
        end)
        assert.equal(0, pool:snapshot().health_checks_failed)
    end)

    it("takes no query that leaves something behind", function()
        local pool, err = weirpool.open { url = db.url, health_check_query = "begin" }
        assert.is_nil(pool)
        assert.equal("OptionError", err.class)
        assert.matches("health_check_query", err.message)
    end)
end)
