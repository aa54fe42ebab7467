-- Alerts, slow statements, history; the rules themselves are in tests/core.
local support = require "support"
local weirpool = require "weirpool"

support.each("the monitor", function(db)
    local QUICK = {
        monitoring_interval = 0.01,
        alert_window = 0.1,
        alert_after = 1,
        alert_minimum_calls = 1,
        slow_query_threshold = 0.001,
    }

    it("calls back", function()
        local pool, heard, lines = assert(db.open(QUICK)), {}, {}
        weirpool.log(function(_, line)
            lines[#lines + 1] = line
        end, "error")
        pool:on_alert(function(alert)
            heard[#heard + 1] = alert
        end)
        pool:on_alert(function(alert)
            alert.type = nil
            error "mine"
        end)
        pool:fetchval "select nonsense"
        local deadline = os.time() + 60
        while #heard == 0 and os.time() < deadline do
            pool:snapshot()
            pool:alerts()
        end
        local active = assert(pool:alerts())
        assert.equal(1, #active)
        while #heard < 2 and os.time() < deadline do
            pool:alerts()
        end
        weirpool.log(false)
        local fired, resolved = heard[1], heard[2]
        assert.same({ 1, "high_query_failure_rate", "critical", false },
            { fired.number, fired.type, fired.severity, fired.resolved })
        assert.same({ 1, 0.05, 1, 1 }, { fired.value, fired.threshold, fired.count, fired.total })
        assert.is_true(fired.window > 0 and fired.age >= 0 and fired.resolved_age == nil)
        assert.matches("^1 of 1 statements failed in ", fired.message)
        assert.is_true(resolved.resolved and resolved.resolved_age <= resolved.age)
        assert.equal(0, #assert(pool:alerts()))
        assert.equal(1, #assert(pool:alerts(false)))
        assert.equal(1, assert(pool:alert_history())[1].number)
        local said = table.concat(lines, "\n")
        assert.matches("alert high_query_failure_rate: 1 of 1", said)
        assert.matches("a callback for alerts has failed: .*mine", said)
        assert.error_matches(function() pool:on_alert(1) end, "a function is wanted")
        assert(pool:close())
    end)

    it("keeps slow statements", function()
        local pool = assert(db.open(QUICK))
        local text = db.name == "sqlite" and db.slow or "select pg_sleep(10)"
        assert(pool:fetchval "select 1") -- so that the time-out is the statement's
        pool:fetchval { text, timeout = 0.05 }
        local slow = assert(assert(pool:slow_queries())[1])
        assert.equal((text:gsub("%d[%de.]*", "?")), slow.statement)
        assert.equal(slow.statement, weirpool.fingerprint("  " .. text .. " -- and so on"))
        assert.equal(1, slow.count)
        assert.is_true(slow.total > 0.01 and slow.total == slow.max and slow.max == slow.last)
        assert.is_true(slow.age >= 0)
        assert(pool:close())
    end)

    it("keeps a history", function()
        local pool = assert(db.open { monitoring_interval = 60, min_size = 1 })
        assert.same({}, assert(pool:history "size"))
        local points
        repeat
            assert(pool:fetchval "select 1")
            points = assert(pool:history("size", { since = 60, step = 1 }))
        until #points > 0
        assert.equal(1, points[1].value)
        assert.is_true(points[1].age >= 0 and points[1].age < 60)
        local query = assert(pool:history("query", { since = false }))[1]
        assert.is_true(query.count > 0 and query.sum > 0 and query.p50 <= query.p999)
        assert.error_matches(function() pool:history "sise" end, "did you mean size?")
        assert.error_matches(function() pool:history("size", { step = 5 }) end, "step=5000 ms")
        assert.error_matches(function() pool:history("size", { since = -1 }) end, "since must be seconds")
        assert.error_matches(function() pool:history("size", 5) end, "a table of options")
        assert.error_matches(function() pool:history() end, "name of a metric")
        assert.error_matches(function() pool:history("size", { sinse = 3 }) end, "unknown option sinse")
        assert(pool:close())
    end)

    it("can be switched off", function()
        local pool = assert(db.open { monitoring = false })
        local none, err = pool:alerts()
        assert.is_nil(none)
        assert.equal("NotSupportedError", err.class)
        assert.is_nil((pool:slow_queries()))
        assert.is_nil((pool:history "size"))
        assert(pool:close())
    end)
end)
