local support = require "support"
local weirpool = require "weirpool"

support.each("a session", function(db)
    local pool
    before_each(function()
        pool = assert(db.open { max_size = 1, checkout_timeout = 5 })
        assert(pool:execute("create table t (a integer unique)"))
    end)

    local function count()
        return pool:fetchval("select count(*) from t")
    end
    local function insert(on, value)
        return assert(on:execute("insert into t values ($1)", value))
    end

    --- A row's COMMIT takes so many seconds.
    local function slow_commit(seconds)
        assert(pool:execute_script(([[
            create function slow() returns trigger language plpgsql as
                $$ begin perform pg_sleep(%g); return null; end $$;
            create constraint trigger slow after insert on t deferrable initially deferred
                for each row execute function slow()]]):format(seconds)))
    end

    it("commits when it is told to", function()
        local session = assert(pool:session())
        insert(session, 1)
        assert.is_true(session:inspect().in_transaction)
        assert.is_true(session:commit())
        insert(session, 2)
        assert.is_true(session:rollback())
        insert(session, 3)
        assert.is_true(session:commit())
        assert.is_true(session:close())
        assert.is_true(session:close())
        assert.equal(2, count())
    end)

    if db.name == "postgresql" then
        it("tells the number of a COMMIT that was not answered", function()
            slow_commit(60)
            for _, asks in ipairs { true, false } do
                local other = assert(db.open { max_size = 1, command_timeout = 0.3, commit_xid = asks })
                local session = assert(other:session())
                insert(session, asks and 1 or 2)
                local number = assert(session:fetchval "select pg_current_xact_id()::text")
                local done, err = session:commit()
                assert.is_nil(done)
                assert.equal("OutcomeTimeout", err.class)
                assert.is_true(err:is("OutcomeUnknown"))
                assert.equal(asks and number or nil, err.xid and ("%d"):format(err.xid))
                session:close()
                other:close(0)
            end
        end)
    end

    if db.name == "postgresql" then
        it("comes back when an error ends the wait for its COMMIT", function()
            slow_commit(0.3)
            local host, lent = pool.host, nil
            function pool.host(what, ...) -- as Ctrl-C, which is looked for while a call waits
                if what == "interrupt" then
                    error("interrupted!", 0)
                end
                return host(what, ...)
            end
            local ok, err = pcall(pool.session, pool, function(session)
                lent = session
                insert(session, 1)
            end)
            assert.same({ false, "interrupted!", true }, { ok, err, lent.returned })
            pool.host = host
            assert.equal(1, assert(pool:fetchval("select 1")))
        end)
    end

    it("is reset as the loan wants it", function()
        local look = db.name == "sqlite" and "pragma cache_size" or "show work_mem"
        local change = db.name == "sqlite" and "pragma cache_size = 77" or "set work_mem = '9MB'"
        local before = assert(pool:fetchval(look))
        for _, lend in ipairs { "session", "connection" } do
            pool[lend](pool, { reset = "never" }, function(lent)
                assert(lent:execute(change))
                return lent.commit and lent:commit() or true
            end)
            assert.not_equal(before, pool:fetchval(look))
            assert(pool[lend](pool, { reset = "always" }, function(lent)
                return lent:execute(change)
            end))
            assert.equal(before, pool:fetchval(look))
        end
        local ok, err = pcall(pool.connection, pool, { reset = "sometimes" })
        assert.is_false(ok)
        assert.truthy(tostring(err):find("give auto, always or never here", 1, true))
    end)

    it("rolls back otherwise", function()
        local session = assert(pool:session())
        insert(session, 1)
        session:close()
        assert.equal(0, count())
    end)

    it("commits for a function that returns", function()
        local a, b, c = pool:session(function(session)
            insert(session, 1)
            return "a", nil, 3
        end)
        assert.same({ "a", nil, 3 }, { a, b, c })
        assert.equal(1, count())
        assert.equal(0, select("#", pool:session(function(session)
            insert(session, 2)
        end)))
        assert.equal(2, count())
    end)

    it("rolls back for a function that raises", function()
        local problem = { "mine" }
        local ok, err = pcall(function()
            pool:session(function(session)
                insert(session, 1)
                error(problem)
            end)
        end)
        assert.is_false(ok)
        assert.equal(problem, err)
        assert.equal(0, count())
        assert.equal(0, pool:snapshot().active)
    end)

    it("rolls back for a function that returns nil, err", function()
        local value, err, more = pool:session(function(session)
            insert(session, 1)
            return nil, "no", 7
        end)
        assert.same({ nil, "no", 7 }, { value, err, more })
        assert.equal(0, count())
        local none, problem, state = pool:session(function(session)
            insert(session, 1)
            return session:execute("insert into t values (1)")
        end)
        assert.is_nil(none)
        assert.equal("UniqueViolation", problem.class)
        assert.equal("23505", state)
        assert.equal(0, count())
    end)

    it("takes options", function()
        local value, err = pool:session({ isolation = "serializable", readonly = true, timeout = 10,
            checkout_timeout = 1 }, function(session)
            return session:execute("insert into t values (1)")
        end)
        assert.is_nil(value)
        assert.is_true(err:is("DatabaseError"))
        assert.equal(0, count())
    end)

    if db.name == "postgresql" then
        it("has the isolation that is asked for, and so has every transaction", function()
            local levels = "select concat_ws(' ', current_setting('transaction_isolation'), "
                .. "current_setting('transaction_deferrable'))"
            local function level(session)
                return session:fetchval(levels)
            end
            for _, wanted in ipairs { "read uncommitted", "repeatable read", "serializable" } do
                local options = { isolation = wanted, deferrable = true }
                local seen = { pool:session(options, level), pool:run(options, level) }
                seen[3] = pool:connection(function(connection)
                    return connection:transaction(options, level)
                end)
                seen[4] = assert(pool:transaction({ { levels .. " as level" } }, options))[1][1].level
                wanted = wanted .. " on"
                assert.same({ wanted, wanted, wanted, wanted }, seen)
            end
            assert.equal("read committed off", level(pool))
        end)
    end

    it("ends when its time is over", function()
        local session = assert(pool:session { timeout = 0.05 })
        local value, err = session:fetchval(db.slow)
        assert.is_nil(value)
        assert.is_true(err:is("OperationalError") or err:is("InterfaceError"))
        assert.equal(0, count())
    end)

    it("has savepoints inside", function()
        assert(pool:session(function(session)
            insert(session, 1)
            local value, err = session:transaction(function(inner)
                insert(inner, 2)
                return inner:execute("insert into t values (1)")
            end)
            assert.is_nil(value)
            assert.equal("UniqueViolation", err.class)
            assert.equal("kept", session:transaction(function(inner)
                insert(inner, 3)
                return "kept"
            end))
            assert.has_error(function()
                session:transaction(function(inner)
                    insert(inner, 4)
                    error("out", 0)
                end)
            end, "out")
            local savepoint = assert(session:transaction())
            insert(session, 5)
            assert.is_true(savepoint:rollback())
            assert.has_error(function()
                savepoint:commit()
            end)
            return true
        end))
        assert.equal(2, count())
    end)

    it("refuses to end a transaction before those in it, and does so afterwards", function()
        local session = assert(pool:session())
        for number, finish in ipairs { "commit", "rollback" } do
            local outer = assert(session:transaction())
            local inner = assert(session:transaction())
            insert(session, number)
            local done, err = outer[finish](outer)
            assert.is_nil(done)
            assert.equal("TransactionError", err.class)
            assert.is_true(inner:commit())
            assert.is_true(outer[finish](outer))
            assert.has_error(function()
                outer:commit()
            end)
        end
        assert.equal(1, assert(session:fetchval("select count(*) from t")))
        session:close()
    end)

    it("is a plain connection with transactions, when that is asked for", function()
        assert.equal("done", pool:connection(function(connection)
            insert(connection, 1) -- autocommit
            assert.is_false(connection:inspect().in_transaction)
            local transaction = assert(connection:transaction { isolation = "serializable" })
            insert(connection, 2)
            assert.is_true(transaction:rollback())
            assert.equal(2, connection:transaction({ readonly = false }, function(inner)
                insert(inner, 3)
                return assert(inner:fetchval("select count(*) from t"))
            end))
            local value, err = connection:transaction(function(inner)
                insert(inner, 4)
                return nil, "not this"
            end)
            assert.is_nil(value)
            assert.equal("not this", err)
            return "done"
        end))
        assert.equal(2, count())
        assert.has_error(function()
            pool:connection(function()
                error("oh", 0)
            end)
        end, "oh")
        assert.equal(0, pool:snapshot().active)
    end)

    it("may be given back in a broken state", function()
        local connection = assert(pool:connection())
        local closed = pool:snapshot().connections_closed
        assert.is_true(connection:discard())
        assert.equal(0, count())
        assert.equal(closed + 1, pool:snapshot().connections_closed)
    end)

    it("is misused after its return", function()
        local session = assert(pool:session())
        session:close()
        local ok, err = pcall(function()
            session:execute("select 1")
        end)
        assert.is_false(ok)
        assert.matches("session_spec%.lua:%d+: .*returned", err)
        assert.has_error(function()
            session:commit()
        end)
        assert.has_error(function()
            session:transaction()
        end)
        assert.matches("returned", tostring(session))
    end)

    it("comes back when the collector finds it, and that is told", function()
        local lines = {}
        weirpool.log(function(level, line)
            lines[#lines + 1] = level .. ": " .. line
        end)
        finally(function()
            weirpool.log(false)
        end)
        local function forget()
            insert(assert(pool:session()), 1)
        end
        forget()
        collectgarbage()
        collectgarbage()
        assert.equal(0, count()) -- the pool has one connection: it came back, and rolled back
        local name = pool.name:gsub("%p", "%%%0")
        local warning = "^warning: pool " .. name .. ": .*collector.*session_spec%.lua:%d+$"
        assert.matches(warning, table.concat(lines, "\n"))
        lines = {}
        coroutine.wrap(pool.session)(pool) -- nobody is on the coroutine's own stack
        collectgarbage()
        collectgarbage()
        assert.equal(0, count())
        assert.matches(warning, table.concat(lines, "\n"))
    end)

    it("is told of on stderr at first", function()
        local output = support.run(([[
            local weirpool = require "weirpool"
            local pool = assert(weirpool.open { url = %q, min_size = 0, max_size = 1 })
            local function forget() assert(assert(pool:session()):execute("insert into t values (1)")) end
            forget()
            collectgarbage() collectgarbage()
            print(pool:fetchval("select count(*) from t"))]]):format(db.url))
        assert.matches("weirpool: warning: .*lua.*:%d+", output)
        assert.matches("%f[%d]0\n", output)
    end)

    it("works across yields", function()
        local step = coroutine.wrap(function()
            return pool:session(function(session)
                insert(session, 1)
                coroutine.yield("half-way")
                insert(session, 2)
                return "all the way"
            end)
        end)
        assert.equal("half-way", step())
        assert.equal("all the way", step())
        assert.equal(2, count())
    end)

    it("can be used in another coroutine than it was made in", function()
        local session = coroutine.wrap(function()
            return assert(pool:session())
        end)()
        coroutine.wrap(function()
            insert(session, 1)
        end)()
        collectgarbage()
        assert.is_true(session:commit())
        session:close()
        assert.equal(1, count())
    end)

    if _VERSION == "Lua 5.4" then
        local scopes = dofile(support.here .. "/scopes.lua54")

        it("ends with its scope", function()
            scopes.committed(pool)
            assert.equal(1, count())
            scopes.forgotten(pool)
            assert.equal(1, count())
            assert.has_error(function()
                scopes.raised(pool)
            end, "out of scope")
            assert.equal(1, count())
        end)

        it("may be nothing at all in a scope", function()
            pool:close()
            local err = scopes.refused(pool)
            assert.equal("PoolClosed", err.class)
        end)

        it("has transactions with scopes", function()
            pool:connection(function(connection)
                scopes.transactions(connection)
            end)
            assert.equal(1, count())
        end)

        it("lets a pool have a scope", function()
            local gone = scopes.pool(db.url)
            assert.is_true(gone:closed())
        end)
    end
end)
