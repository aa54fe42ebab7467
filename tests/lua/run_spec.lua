local support = require "support"
local weirpool = require "weirpool"

local FAIL = "do $$ begin raise exception 'again' using errcode = '40001'; end $$"
local DEADLOCK = "do $$ begin raise exception 'again' using errcode = '40P01'; end $$"

support.each("pool:run", function(db)
    local pool
    before_each(function()
        pool = assert(db.open { checkout_timeout = 5, sqlite_begin = "deferred" })
        assert(pool:execute("create table t (a integer unique)"))
        assert(pool:execute("insert into t values (0)"))
    end)
    local function value()
        return pool:fetchval("select a from t")
    end

    it("commits and gives what the function gives", function()
        local a, b, c = pool:run(function(session)
            assert(session:execute("update t set a = 7"))
            return "a", nil, 3
        end)
        assert.same({ "a", nil, 3 }, { a, b, c })
        assert.equal(7, value())
        assert.equal(0, select("#", pool:run({ retries = 0 }, function() end)))
        assert.equal(0, pool:snapshot().active)
    end)

    for _, how in ipairs { "returned", "raised" } do
        it("repeats a transaction that another has overtaken, the error being " .. how, function()
            local sessions = {}
            assert.equal(11, pool:run({ isolation = "serializable" }, function(session)
                sessions[#sessions + 1] = session
                local n = assert(session:fetchval("select a from t"))
                if #sessions == 1 then
                    assert(pool:execute("update t set a = 10"))
                end
                local done, err, state = session:execute("update t set a = $1", n + 1)
                if not done and how == "raised" then
                    error(err, 0) -- as Lua's own assert does, but not busted's
                end
                if not done then
                    return nil, err, state
                end
                return n + 1
            end))
            assert.equal(11, value())
            assert.equal(2, #sessions)
            assert.is_true(sessions[1].returned and sessions[2].returned)
        end)
    end

    it("raises and returns other errors at once", function()
        local calls = 0
        local none, err, state = pool:run(function(session)
            calls = calls + 1
            assert(session:execute("insert into t values (1)"))
            return session:execute("insert into t values (1)")
        end)
        assert.is_nil(none)
        assert.equal("UniqueViolation", err.class)
        assert.equal("23505", state)
        assert.is_nil(err.note)
        for _, problem in ipairs { "text", { "mine" } } do
            local ok, caught = pcall(pool.run, pool, function(session)
                calls = calls + 1
                assert(session:execute("insert into t values (1)"))
                error(problem, 0)
            end)
            assert.is_false(ok)
            assert.equal(problem, caught)
        end
        assert.same({ nil, "no", 7 }, { pool:run(function()
            calls = calls + 1
            return nil, "no", 7
        end) })
        assert.equal(4, calls)
        assert.equal(1, pool:fetchval("select count(*) from t"))
        assert.equal(0, pool:snapshot().active)
    end)

    it("does not let the function commit", function()
        local ok, err = pcall(pool.run, pool, function(session)
            assert(session:execute("insert into t values (1)"))
            session:commit()
        end)
        assert.is_false(ok)
        assert.truthy(err:find("run_spec.lua:%d+: run commits when its function has returned"))
        assert.equal(1, pool:fetchval("select count(*) from t"))
    end)

    it("has one deadline over everything", function()
        assert.equal(1, pool:run({ timeout = 60, checkout_timeout = false }, function(session)
            return session:fetchval("select 1")
        end))
        local none, err = pool:run({ timeout = 0.05 }, function(session)
            return session:fetchval(db.slow)
        end)
        assert.is_nil(none)
        assert.is_true(err:is("PoolTimeout"))
        local one, two = assert(pool:connection()), assert(pool:connection())
        for _, given in ipairs { "none", false, 60 } do
            local options = { timeout = 0.05 }
            if given ~= "none" then
                options.checkout_timeout = given
            end
            none, err = pool:run(options, print)
            assert.is_nil(none)
            assert.equal("CheckoutTimeout", err.class)
        end
        one:close()
        two:close()
    end)

    it("wants arguments that it can use", function()
        local function refused(text, ...)
            local ok, err = pcall(pool.run, pool, ...)
            assert.is_false(ok)
            assert.truthy(tostring(err):find(text, 1, true), err)
        end
        refused("run: a function is wanted")
        refused("run: a function is wanted", {})
        refused("run: a table of options is wanted, not a number", 3, print)
        refused("a function is wanted, not a number", {}, 3)
        refused("retries=-1: give a number from 0 to 1000", { retries = -1 }, print)
        refused("retries=1001: give a number from 0 to 1000", { retries = 1001 }, print)
        refused("retries: an integer is wanted", { retries = "x" }, print)
        refused("timeout: a number of seconds above 0", { timeout = 0 }, print)
        refused("checkout_timeout: a number of seconds above 0", { checkout_timeout = "x" }, print)
        refused("there is no option retires here: retries, timeout,", { retires = 3 }, print)
        refused("isolation", { isolation = "chaos" }, print)
        assert.equal(0, pool:snapshot().active)
    end)

    if db.name == "sqlite" then
        return
    end

    it("gives up with the last error and a note", function()
        for _, statement in ipairs { FAIL, DEADLOCK } do
            local calls = 0
            local none, err = pool:run({ retries = 2 }, function(session)
                calls = calls + 1
                return session:execute(statement)
            end)
            assert.is_nil(none)
            assert.equal(3, calls)
            assert.equal("given up after 3 attempts: no retries are left", err.note)
            assert.truthy(tostring(err):find("\nNOTE: given up after 3 attempts", 1, true))
        end
        local calls = 0
        local ok, err = pcall(pool.run, pool, { retries = 1000, timeout = 60 }, function(session)
            calls = calls + 1
            local _, failure = session:execute(FAIL)
            failure.retry_after = calls == 3 and 600 or nil
            error(failure, 0)
        end)
        assert.is_false(ok)
        assert.equal("given up after 3 attempts: the timeout leaves no time for another", err.note)
    end)

    it("repeats what a lost connection has undone", function()
        local calls = 0
        assert.equal(2, pool:run(function(session)
            calls = calls + 1
            assert(session:execute("update t set a = $1", calls))
            if calls == 1 then
                assert(pool:fetchval("select pg_terminate_backend($1, 10000)", session:inspect().backend))
            end
            return session:fetchval("select a from t")
        end))
        assert.equal(2, value())
    end)

    it("does not repeat a COMMIT whose outcome is unknown", function()
        for _, statement in ipairs {
            "create function die() returns trigger language plpgsql as "
                .. "$$ begin perform pg_terminate_backend(pg_backend_pid()); return null; end $$",
            "create constraint trigger die after update on t deferrable initially deferred "
                .. "for each row execute function die()",
        } do
            assert(pool:execute(statement))
        end
        local calls = 0
        local none, err = pool:run(function(session)
            calls = calls + 1
            return session:execute("update t set a = 1")
        end)
        assert.is_nil(none)
        assert.equal("OutcomeUnknown", err.class)
        assert.is_false(err.retryable)
        assert.equal(1, calls)
        none, err = pool:session(function(session)
            return session:execute("update t set a = 1")
        end)
        assert.is_nil(none)
        assert.equal("OutcomeUnknown", err.class)
    end)

    it("does not repeat a COMMIT that was answered by ROLLBACK", function()
        for _, method in ipairs { "run", "session" } do
            local calls = 0
            local none, err = pool[method](pool, function(session)
                calls = calls + 1
                session:execute("insert into t values (0)") -- fails, and nobody looks
                return "unseen"
            end)
            assert.is_nil(none)
            assert.equal("TransactionRolledBack", err.class)
            assert.equal(1, calls)
        end
        local session = assert(pool:session())
        assert.is_nil(session:execute("insert into t values (0)"))
        local done, err = session:commit()
        assert.is_nil(done)
        assert.equal("TransactionRolledBack", err.class)
        session:close()
        assert.equal(0, pool:snapshot().active)
    end)

    it("repeats when no connection can be made", function()
        local url = db.url:gsub("://.*", "://app@127.0.0.1:1/none")
        local other = assert(weirpool.open { url = url, min_size = 0, retry_min = 0.001, retry_max = 0.005 })
        local none, err = other:run({ retries = 2 }, print)
        assert.is_nil(none)
        assert.equal("ConnectError", err.class)
        assert.equal("given up after 3 attempts: no retries are left", err.note)
        assert.is_true(other:close())
    end)
end)
