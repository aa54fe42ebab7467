-- Circuit breakers: one's own, and those of a pool, on a server that goes and comes back.
local support = require "support"
local weirpool = require "weirpool"

--- An error of the module's own, as calls give it.
local function failure_of(db, sql)
    local pool = db.open { min_size = 0 }
    local _, err = pool:fetch(sql)
    return assert(err)
end

describe("a breaker of one's own", function()
    local function failing(breaker, times)
        for _ = 1, times do
            assert.is_false(pcall(breaker.call, breaker, error, "down"))
        end
    end

    it("opens, refuses, and recovers", function()
        local breaker = weirpool.breaker { name = "mail", failure_threshold = 2, recovery_timeout = 0.05 }
        assert.same({ 1, nil, 3 }, { breaker:call(function(...) return ... end, 1, nil, 3) })
        failing(breaker, 2)
        assert.equal("open", breaker:state())
        assert.equal("weirpool.Breaker mail open", tostring(breaker))
        local none, err, state = breaker:call(function() error("nobody is let in") end)
        assert.is_nil(none)
        assert.is_nil(state)
        assert.equal("CircuitOpen", err.class)
        assert.is_true(err:is("OperationalError") and err.retryable)
        assert.equal("the circuit breaker mail is open after 2 failures in a row", err.message)
        assert.equal("a Lua error (string)", err.detail)
        assert.is_true(err.retry_after > 0 and err.retry_after <= 0.05)
        support.eventually(function() return breaker:state() == "half_open" end)
        for _ = 1, 7 do
            assert.equal("well", breaker:call(function() return "well" end))
        end
        assert.equal("closed", breaker:state())
        local reasons = {}
        for _, event in ipairs(breaker:events()) do
            reasons[#reasons + 1] = event.state .. " " .. event.reason
        end
        assert.same({ "open failures", "half_open timeout", "closed recovered" }, reasons)
        assert.equal(3, breaker:events(2)[1].number)
        assert.same({}, breaker:events(3))
    end)

    it("counts raised errors and nil, err alike", function()
        local breaker = weirpool.breaker {}
        failing(breaker, 1)
        assert.is_nil((breaker:call(function() return nil, "down" end)))
        assert.is_nil((breaker:call(function() return nil end))) -- that is no failure
        local ok, err = pcall(breaker.call, breaker, function() error({ mine = true }) end)
        assert.is_false(ok)
        assert.is_true(err.mine) -- raised on as it was
        local numbers = breaker:snapshot()
        assert.equal(3, numbers.calls_failed)
        assert.equal(1, numbers.calls_succeeded)
        assert.equal("closed", numbers.state)
        assert.equal("a Lua error (table)", numbers.last_failure)
        assert.is_false(select(2, breaker:call(function() return nil, false end)))
        assert.equal(4, breaker:snapshot().calls_failed)
    end)

    it("leaves permits to their owner", function()
        local breaker = weirpool.breaker { failure_threshold = 1 }
        local permit = assert(breaker:acquire())
        assert.equal(1, breaker:snapshot().running)
        breaker:record(permit)
        breaker:record(permit, "again") -- it is used up
        breaker:cancel(assert(breaker:acquire()))
        breaker:record(assert(breaker:acquire()), "down")
        local numbers = breaker:snapshot()
        assert.same({ 1, 1, 1, 0 }, { numbers.calls_succeeded, numbers.calls_cancelled, numbers.calls_failed,
            numbers.running })
        local none, err = breaker:acquire()
        assert.is_nil(none)
        assert.equal("CircuitOpen", err.class)
    end)

    it("has functions say what counts", function()
        local breaker = weirpool.breaker {
            ignore = function(err) return err == "mine" end,
            record = function(err) return tostring(err):find("quota") end,
        }
        pcall(breaker.call, breaker, error, "mine", 0)
        assert.equal(1, breaker:snapshot().calls_ignored)
        breaker = weirpool.breaker { ignore = function() error("in the predicate", 0) end }
        local ok, err = pcall(breaker.call, breaker, error, "down", 0)
        assert.is_false(ok)
        assert.equal("in the predicate", err)
        assert.equal(1, breaker:snapshot().calls_failed)
    end)

    it("falls back", function()
        local seen = {}
        local breaker = weirpool.breaker {
            failure_threshold = 1,
            fallback = function(err)
                seen[#seen + 1] = err
                return "cached", 2
            end,
        }
        assert.equal("fresh", breaker:call(function() return "fresh" end))
        failing(breaker, 1) -- never called when closed, not even for the failure that opens it
        assert.equal(0, #seen)
        assert.same({ "cached", 2 }, { breaker:call(print) })
        assert.equal("CircuitOpen", seen[1].class)
        local wrapped = breaker:wrap(print, function() return "of the call" end)
        assert.equal("of the call", wrapped())
    end)

    it("chains a fallback's own failure", function()
        local breaker = weirpool.breaker {}
        breaker:force_open()
        local raises = breaker:wrap(print, function() error("no cache", 0) end)
        local ok, err = pcall(raises)
        assert.is_false(ok)
        assert.truthy(err:find("^no cache\nin the fallback for: CircuitOpen: the circuit breaker"))
        local closed = weirpool.breaker {}
        closed:force_open()
        local none
        none, err = breaker:wrap(print, function() return closed:call(print) end)()
        assert.is_nil(none)
        assert.equal("CircuitOpen", err.class)
        assert.equal("CircuitOpen", err.cause.class)
        local declined = breaker:wrap(print, function(refusal) return nil, refusal end)
        none, err = declined()
        assert.is_nil(none)
        assert.is_nil(err.cause)
    end)

    it("is changed by hand", function()
        local breaker = weirpool.breaker { failure_threshold = 1 }
        local changes = { force_open = "forced_open", disable = "disabled", metrics_only = "metrics_only" }
        for change, state in pairs(changes) do
            breaker[change](breaker)
            assert.equal(state, breaker:state())
        end
        breaker:reset()
        assert.equal("closed", breaker:state())
        breaker:force_open()
        breaker:force_close()
        assert.equal("closed", breaker:state())
    end)

    it("refuses what it does not know", function()
        support.misuse("failure_threshold", function() weirpool.breaker { failure_treshold = 3 } end)
        support.misuse("from 0.001 to 1", function() weirpool.breaker { failure_rate = 2 } end)
        support.misuse("UniqueViolation", function() weirpool.breaker { record = "UniqeViolation" } end)
        support.misuse("fallback: a function", function() weirpool.breaker { fallback = 3 } end)
        support.misuse("a table of options", function() weirpool.breaker(3) end)
        support.misuse("call: a function", function() weirpool.breaker({}):call(3) end)
        support.misuse("wrap: a function", function() weirpool.breaker({}):wrap(print, 3) end)
        support.misuse("a permit is wanted", function()
            local breaker = weirpool.breaker {}
            breaker:record(3)
        end)
        local options = {}
        for _, option in ipairs(weirpool.breaker_options()) do
            options[option.name] = option
        end
        assert.equal(5, options.failure_threshold.default)
        assert.same({ 0.001, 1 }, { options.failure_rate.least, options.failure_rate.most })
    end)

    it("has a permit back that nobody has any more", function()
        local breaker = weirpool.breaker {
            failure_threshold = 1, recovery_timeout = 0.001, half_open_timeout = 60
        }
        failing(breaker, 1)
        support.eventually(function() return breaker:state() == "half_open" end)
        local function dropped()
            local job = coroutine.create(function() return breaker:call(coroutine.yield) end)
            assert(coroutine.resume(job))
            assert.equal(1, breaker:snapshot().half_open_calls)
        end
        dropped()
        collectgarbage()
        collectgarbage()
        local numbers = breaker:snapshot()
        assert.same({ 0, 0, 1 }, { numbers.half_open_calls, numbers.running, numbers.calls_cancelled })
        local permit = assert(breaker:acquire()) -- no other call is kept out
        breaker = nil -- both go at once
        assert.is_truthy(permit)
    end)
end)

support.each("a pool's breakers", function(db)
    it("judge errors of the module", function()
        local breaker = weirpool.breaker { record = "42" }
        local err = failure_of(db, "select * from nowhere")
        assert.is_nil((breaker:call(function() return nil, err end)))
        assert.is_nil((weirpool.breaker {}:call(function() return nil, err end)))
        local plain = weirpool.breaker {}
        plain:record(assert(plain:acquire()), err) -- the server has answered
        assert.equal(1, plain:snapshot().calls_succeeded)
        local ignoring = weirpool.breaker { ignore = "ProgrammingError" }
        ignoring:record(assert(ignoring:acquire()), err)
        assert.equal(1, ignoring:snapshot().calls_ignored)
    end)

    it("are changed by hand", function()
        local pool = assert(db.open { min_size = 1 })
        assert.equal(1, assert(pool:fetchval("select 1")))
        assert.equal("closed", pool.breaker:state())
        assert.equal(1, pool.breaker.query:snapshot().calls_succeeded)
        pool.breaker.query:force_open()
        local none, err = pool:fetchval("select 1")
        assert.is_nil(none)
        assert.equal("CircuitOpen", err.class)
        assert.is_nil(err.retry_after)
        assert.equal("forced_open", pool.breaker:state())
        assert.equal("weirpool.PoolBreaker connect=closed query=forced_open", tostring(pool.breaker))
        assert.equal(3, pool:snapshot().circuit_query)
        local fetch = pool.breaker:wrap(function() return pool:fetchval("select 1") end, function(refusal)
            assert.equal("CircuitOpen", refusal.class)
            return "cached"
        end)
        assert.equal("cached", fetch())
        pool.breaker:force_close()
        assert.equal(1, fetch())
        pool.breaker:metrics_only()
        pool.breaker:disable()
        pool.breaker:reset()
        assert.equal("closed", pool.breaker:snapshot().connect.state)
        local wrong = pool.breaker:wrap(function()
            return pool:fetchval("select * from nowhere")
        end, function()
            error("no other error goes there")
        end)
        none, err = wrong()
        assert.is_nil(none)
        assert.not_equal("CircuitOpen", err.class)
    end)

    --- How the pool's calls have ended since the last time.
    local function counter(pool)
        local kinds, before = { "failed", "succeeded", "ignored", "cancelled" }, {}
        local function count()
            local numbers, new = pool.breaker.query:snapshot(), {}
            assert.equal(0, numbers.running)
            for _, kind in ipairs(kinds) do
                local now = numbers["calls_" .. kind]
                new[kind] = before[kind] ~= now and now - (before[kind] or 0) or nil
                before[kind] = now
            end
            return new
        end
        count()
        return count
    end

    local function is_nowhere(err)
        return err.class == "UndefinedTable"
    end

    it("ask functions", function()
        local none = function() return false end
        for _, form in ipairs {
            { is_nowhere, nil, "failed" },
            { "42", is_nowhere, "ignored" },
            { is_nowhere, "42", "ignored" },
            { is_nowhere, is_nowhere, "ignored" },
            { "UndefinedTable", none, "failed" },
            { none, none, "succeeded" },
        } do
            local pool = assert(db.open { min_size = 1, circuit_record = form[1], circuit_ignore = form[2] })
            assert.equal(1, assert(pool:fetchval "select 1"))
            local count = counter(pool)
            local _, err = pool:fetch "select * from nowhere"
            assert.equal("UndefinedTable", err.class)
            assert.same({ [form[3]] = 1 }, count())
            local breaker = weirpool.breaker { record = form[1], ignore = form[2] } -- says the same
            breaker:record(assert(breaker:acquire()), err)
            assert.equal(1, breaker:snapshot()["calls_" .. form[3]])
        end
    end)

    it("ask functions of all that callers see", function()
        local seen = {}
        local pool = assert(db.open {
            max_size = 1,
            circuit_failure_threshold = false,
            circuit_failure_rate = false,
            circuit_record = function(err)
                seen[#seen + 1] = err
                return true
            end,
        })
        local wrong = "select * from nowhere"
        local failed = 0
        local function check(_, err)
            assert.equal(1, #seen)
            assert.equal(seen[1], err)
            failed = failed + 1
            assert.equal(failed, pool.breaker.query:snapshot().calls_failed)
            seen = {}
        end
        for _, method in ipairs { "execute", "fetch", "fetchrow", "fetchval", "execute_script" } do
            check(pool[method](pool, wrong))
        end
        check(pool:transaction { "select 1", wrong })
        check(pool:connection(function(connection)
            check(connection:fetch(wrong))
            check(connection:pipeline(function(p)
                p:fetchval "select 1"
                p:fetch(wrong) -- not got: told at the end
                return true
            end))
            return connection:pipeline(function(p)
                return p:fetch(wrong):get()
            end)
        end))
        check((function()
            local stream = pool:stream(wrong)
            return stream:next()
        end)())
        if db.name == "postgresql" then
            check(pool:copy_in("copy nowhere from stdin", "1"))
        end
    end)

    it("log functions that fail", function()
        local lines = {}
        weirpool.log(function(level, line)
            lines[#lines + 1] = level .. ": " .. line
        end)
        for _, ignore in ipairs { function() error("in the predicate", 0) end, coroutine.yield } do
            local pool = assert(db.open { min_size = 1, circuit_record = "42", circuit_ignore = ignore })
            assert.equal(1, assert(pool:fetchval "select 1"))
            local count = counter(pool)
            lines = {}
            local _, err
            coroutine.wrap(function() _, err = pool:fetch "select * from nowhere" end)()
            assert.equal("UndefinedTable", err.class)
            assert.same({ failed = 1 }, count())
            assert.equal(1, #lines)
            assert.is_truthy(lines[1]:find "circuit_ignore or circuit_record has failed: ")
        end
        weirpool.log(false)
    end)

    it("judge what nobody has asked for by the lists", function()
        local asked = 0
        local pool = assert(db.open {
            max_size = 1,
            circuit_record = function()
                asked = asked + 1
                return true
            end,
        })
        local count = counter(pool)
        pcall(pool.connection, pool, function(connection)
            connection:pipeline(function(p)
                p:fetch "select * from nowhere"
                p:fetchval("select 1"):get() -- by then it has failed
                error("the answer is not wanted", 0)
            end)
        end)
        collectgarbage()
        collectgarbage()
        assert.equal(0, asked)
        assert.same({ succeeded = 2 }, count())
    end)

    it("take options", function()
        local pool = assert(db.open { circuit_breaker = false })
        assert.equal("disabled", pool.breaker:state())
        support.misuse("circuit_failure_threshold", function()
            weirpool.open { url = db.url, circuit_failure_treshold = 1 }
        end)
        pool = assert(db.open {
            circuit_failure_rate = 0.25,
            circuit_ignore = "08",
            circuit_failure_threshold = false,
        })
        assert.equal(1, assert(pool:fetchval("select 1")))
    end)
end)

describe("a pool", function()
    local folder, url, pool

    local function server(action)
        local script = "sh " .. support.here .. "/../support/pg.sh "
        return support.capture(script .. action .. " " .. folder):match("%S+")
    end

    before_each(function()
        folder = support.capture("mktemp -d"):match("%S+")
        url = assert(server "start")
        pool = assert(weirpool.open { url = url, min_size = 2, max_size = 4, circuit_failure_threshold = 2 })
        assert(pool:fetchval("select 1"))
    end)

    after_each(function()
        pool:close(0)
        server "stop"
    end)

    --- Calls until the breaker refuses, with an error of that class; gives the refusal.
    local function refusal(class)
        return support.eventually(function()
            local _, err = pool:fetchval { "select 1", timeout = 0.2 }
            return err and err:is(class or "CircuitOpen") and err
        end)
    end

    local function heals()
        local limit = os.clock() + 5 -- of processor time, which a refused call takes
        local value
        repeat
            value = pool:fetchval { "select 1", timeout = 5 }
        until value or os.clock() > limit
        assert.equal(1, value)
    end

    it("refuses at once while its server is gone, and heals when it is back", function()
        server "kill"
        local err = refusal "ConnectCircuitOpen"
        assert.is_true(err:is "CircuitOpen" and err:is "ConnectError")
        assert.is_true(err.retryable and err.retry_after <= 0.25)
        assert.truthy(err.detail)
        local began = os.clock()
        for _ = 1, 200 do
            assert.is_nil((pool:fetchval("select 1")))
        end
        assert.is_true((os.clock() - began) / 200 < 0.001)
        server "again"
        heals()
        assert.is_true(pool:snapshot().probes_started > 0)
    end)

    it("refuses at once while its server is silent", function()
        server "pause"
        refusal()
        server "resume"
        heals()
    end)
end)
