local support = require "support"

local ONE = "select cast($1 as integer) + 1"
local INSERT = "insert into kept values ($1)"

support.each("a pipeline", function(db)
    local pool
    before_each(function()
        pool = assert(db.open { max_size = 1, checkout_timeout = 5 })
        assert(pool:execute("create table kept (n integer unique)"))
    end)

    --- Calls fn(lent) with a session and with a connection, and sees to it that they are whole afterwards.
    local function each(fn)
        for _, lend in ipairs { "session", "connection" } do
            assert(pool[lend](pool, function(lent)
                fn(lent)
                assert.equal(7, lent:fetchval(ONE, 6))
                return true
            end))
        end
        local now = pool:snapshot()
        assert.same({ 0, 1 }, { now.active, now.size })
    end

    it("has answers in any order", function()
        each(function(lent)
            local late
            local a, b, c = lent:pipeline(function(p)
                local first, second = p:fetchval(ONE, 0), p:fetchval(ONE, 1)
                local row, rows, count = p:fetchrow(ONE, 3), p:fetch(ONE, 4), p:execute(ONE, 5)
                local column = p:fetchval({ "select 1, 2", column = -1 })
                late = p:fetchval(ONE, 2)
                assert.equal(2, second:get())
                assert.equal(1, first:get())
                assert.same({ 4, 5, 1, 2 }, { row:get()[1], rows:get()[1][1], count:get(), column:get() })
                return "a", nil, 3
            end)
            assert.same({ "a", nil, 3 }, { a, b, c })
            assert.equal(3, late:get())
            support.misuse("has been got already", function() late:get() end)
        end)
    end)

    it("does what nobody gets", function()
        assert(pool:session(function(session)
            session:pipeline(function(p)
                for n = 1, 200 do
                    p:execute(INSERT, n)
                end
                p:executemany(INSERT, { { 201 }, { 202 } })
            end)
            return session:fetchval("select count(*) from kept")
        end))
        assert.equal(202, pool:fetchval("select count(*) from kept"))
    end)

    it("fails behind a failure in a transaction", function()
        local before, behind
        local value, err, state = pool:session(function(session)
            return session:pipeline(function(p)
                before = p:execute(INSERT, 1)
                p:execute(INSERT, 1)
                behind = p:execute(INSERT, 2)
                return "not this"
            end)
        end)
        assert.is_nil(value)
        assert.equal("UniqueViolation", err.class)
        assert.equal("23505", state)
        assert.equal(1, before:get())
        assert.equal("25P02", select(2, behind:get()).sqlstate)
        assert.equal(0, pool:fetchval("select count(*) from kept"))
    end)

    it("has each stand for itself in autocommit", function()
        each(function(lent)
            if lent.commit then
                return
            end
            local _, err = lent:pipeline(function(p)
                p:execute(INSERT, 1)
                p:execute(INSERT, 1)
                p:execute(INSERT, 2)
            end)
            assert.equal("UniqueViolation", err.class)
            assert.equal("known", lent:pipeline(function(p)
                local failing = p:execute(INSERT, 1)
                assert.equal("23505", select(3, failing:get()))
                return "known" -- to its caller: the function has not failed
            end))
        end)
        assert.equal(3, pool:fetchval("select sum(n) from kept"))
    end)

    it("ends with its function", function()
        each(function(lent)
            local running
            assert.has_error(function()
                lent:pipeline(function(p)
                    running = p:fetchval(db.slow)
                    p:fetchval(ONE, 1)
                    error("mine", 0)
                end)
            end, "mine")
            assert.equal("OperationCancelled", select(2, running:get()).class)
            if lent.rollback then
                lent:rollback()
            end
            local kept
            local value, err = lent:pipeline(function(p)
                running = p:fetchval(db.slow)
                kept = p
                return nil, "no"
            end)
            assert.same({ nil, "no" }, { value, err })
            assert.equal("OperationCancelled", select(2, running:get()).class)
            support.misuse("the pipeline is over", function() kept:execute("select 1") end)
            if lent.rollback then
                lent:rollback()
            end
        end)
    end)

    it("has a deadline for each", function()
        -- PostgreSQL lets it run to its end when others stand behind it
        local slow = db.name == "sqlite" and db.slow or "select pg_sleep(0.4)"
        assert(pool:connection(function(connection)
            return connection:pipeline(function(p)
                local first, late = p:fetchval(ONE, 0), p:fetchval { slow, timeout = 0.05 }
                local last = p:fetchval(ONE, 2)
                local _, err = late:get()
                assert.equal("CommandTimeout", err.class)
                assert.same({ 1, 3 }, { first:get(), last:get() })
                return true
            end)
        end))
    end)

    it("goes with statements and transactions of the session", function()
        each(function(lent)
            assert.equal(3, lent:pipeline(function(p)
                assert.equal(2, lent:fetchval(ONE, 1))
                assert.equal(5, lent:transaction(function(inner)
                    return inner:fetchval(ONE, 4)
                end))
                local answer = p:fetchval(ONE, 2)
                if db.name == "postgresql" then
                    assert.equal("SessionBusy", select(2, lent:transaction()).class)
                end
                support.misuse("pipelines already", function() lent:pipeline(error) end)
                return answer:get()
            end))
        end)
    end)

    it("may outlive its session", function()
        local session = assert(pool:session())
        local answer
        local none, err = session:pipeline(function(p)
            answer = p:fetchval(ONE, 1)
            session:close() -- which cuts it off
            return 1
        end)
        assert.is_nil(none)
        assert.equal("OperationCancelled", err.class)
        assert.equal(err.class, select(2, answer:get()).class)
        assert.equal(1, pool:fetchval("select 1"))
    end)

    it("leaves nothing when it is forgotten", function()
        local thread = coroutine.create(function()
            pool:session(function(session)
                return session:pipeline(function(p)
                    p:fetchval(db.slow)
                    coroutine.yield()
                end)
            end)
        end)
        assert(coroutine.resume(thread))
        thread = nil -- luacheck: ignore 311
        collectgarbage()
        collectgarbage()
        assert.equal(1, pool:fetchval("select 1"))
    end)

    it("takes nothing else", function()
        assert(pool:connection(function(connection)
            support.misuse("a function is wanted", function() connection:pipeline() end)
            support.misuse("a function is wanted", function() connection:pipeline {} end)
            return connection:pipeline(function(p)
                support.misuse("text is wanted", function() p:fetchval() end)
                support.misuse("parameter 1", function() p:fetchval("select $1", print) end)
                support.misuse("statement is empty", function() p:fetchval("") end)
                support.misuse("no option column", function() p:fetch { "select 1", column = 1 } end)
                return true
            end)
        end))
        local session = assert(pool:session())
        session:close()
        support.misuse("returned", function() session:pipeline(print) end)
    end)
end)
