local support = require "support"
local weirpool = require "weirpool"

describe("the module", function()
    it("has versions", function()
        assert.matches("^%d+%.%d+%.%d+", weirpool.version)
        assert.is_true(weirpool.libpq_version >= 140000)
        assert.matches("^3%.", weirpool.sqlite_version)
    end)

    it("shows the options, the metrics and the bounds of their buckets", function()
        local options = {}
        for _, option in ipairs(weirpool.options()) do
            options[option.name] = option
        end
        local size = options.max_size
        assert.same({ 20, 1, 10000, "count" }, { size.default, size.least, size.most, size.kind })
        assert.equal(30, options.command_timeout.default)
        assert.is_true(options.command_timeout.nullable)
        assert.equal("immediate|deferred|exclusive", options.sqlite_begin.choices)
        assert.equal(false, options.require.default)
        local names = {}
        for _, metric in ipairs(weirpool.metrics()) do
            names[metric.name] = metric.kind
        end
        assert.same({ "gauge", "counter", "latency" }, { names.size, names.checkouts_granted, names.query })
        local bounds = weirpool.buckets()
        assert.equal(10, #bounds)
        assert.equal(0.001, bounds[1])
        assert.equal(math.huge, bounds[10])
    end)

    it("leaves no global behind", function()
        local output = support.run([[
            local before = {}
            for name in pairs(_G) do before[name] = true end
            require "weirpool"
            for name in pairs(_G) do if not before[name] then print(name) end end
            print "end"]])
        assert.equal("end\n", output)
    end)
end)

support.each("a pool", function(db)
    it("drains", function()
        local pool = assert(db.open { max_size = 1 })
        assert.equal(1, pool:fetchval("select 1"))
        assert.is_true(pool:drain())
        assert.is_true(pool:closed())
        local value, err = pool:fetchval("select 1")
        assert.is_nil(value)
        assert.equal("PoolClosed", err.class)
        assert.is_true(pool:drain(0))

        pool = assert(db.open { max_size = 1 })
        local holder = assert(pool:connection())
        assert.is_true(pool:drain(0.05)) -- which is over before the holder is
        value, err = holder:fetchval("select 1")
        assert.is_nil(value)
        assert.equal("PoolClosed", err.class)
        support.misuse("grace", function()
            pool:drain(-1)
        end)
    end)

    it("opens, works and closes", function()
        local pool = assert(db.open { min_size = 1, name = "shop" })
        assert.equal("shop", pool.name)
        assert.equal(db.name, pool.database_system)
        assert.matches("^" .. db.name, pool.url)
        assert.matches("shop", tostring(pool))
        assert.equal(0, assert(pool:execute("create table t (a integer, b text)")))
        assert.equal(1, assert(pool:execute("insert into t values ($1, $2)", 1, "a")))
        assert.equal(2, assert(pool:execute("insert into t values (2, 'b'), (3, 'c')")))
        assert.equal(3, pool:fetchval("select count(*) from t"))
        assert.equal("b", assert(pool:fetchrow("select a, b from t where a = $1", 2)).b)
        assert.is_false(pool:closed())
        assert.is_true(pool:close())
        assert.is_true(pool:closed())
        assert.is_true(pool:close())
        local rows, err, state = pool:fetch("select 1")
        assert.is_nil(rows)
        assert.is_nil(state)
        assert.equal("PoolClosed", err.class)
        assert.is_true(err:is("InterfaceError"))
        local session, why = pool:session()
        assert.is_nil(session)
        assert.equal("PoolClosed", why.class)
    end)

    it("counts", function()
        local pool = assert(db.open())
        assert.equal(1, pool:fetchval("select 1"))
        local snapshot = assert(pool:snapshot())
        assert.equal(1, snapshot.queries_succeeded)
        assert.equal(1, snapshot.checkouts_granted)
        assert.equal(2, snapshot.max_size)
        assert.equal(1, snapshot.query.count)
        assert.is_true(snapshot.query.sum > 0 and snapshot.query.max > 0 and snapshot.query.p50 > 0)
        assert.equal(10, #snapshot.query.buckets)
        if math.type then
            assert.equal("integer", math.type(snapshot.size))
        end
        local session = assert(pool:session())
        assert.equal(1, assert(pool:snapshot()).active)
        assert.is_true(session:close())
        assert.equal(0, assert(pool:snapshot()).active)
    end)

    it("is resized and expired", function()
        local pool = assert(db.open { max_size = 1 })
        assert.is_true(pool:resize(0, 2))
        local one, two = assert(pool:connection()), assert(pool:connection())
        assert.equal(1, one:fetchval("select 1"))
        assert.equal(2, two:fetchval("select 2"))
        one:close()
        two:close()
        assert.is_true(pool:resize(1))
        assert.is_true(pool:resize(nil, 3))
        assert.same({ 1, 3 }, { pool:snapshot().min_size, pool:snapshot().max_size })
        local before = pool:snapshot().connections_created
        assert.is_true(pool:expire())
        assert.equal(1, pool:fetchval("select 1"))
        assert.is_true(pool:snapshot().connections_created > before)
    end)

    it("limits waiting for a connection", function()
        local pool = assert(db.open { max_size = 1, checkout_timeout = 0.05 })
        local holder = assert(pool:connection { checkout_timeout = 30 })
        local other, err = pool:session()
        assert.is_nil(other)
        assert.equal("CheckoutTimeout", err.class)
        assert.is_true(err.retryable)
        other, err = pool:connection { checkout_timeout = 0.01 }
        assert.is_nil(other)
        assert.is_true(err:is("PoolTimeout"))
        assert.equal(1, holder:fetchval("select 1"))
    end)

    it("limits a statement", function()
        local pool = assert(db.open { max_size = 1 })
        assert.equal(1, pool:fetchval("select 1")) -- the connection is there now
        local value, err, state = pool:fetchval { db.slow, timeout = 0.1 }
        assert.is_nil(value)
        assert.equal("CommandTimeout", err.class)
        assert.is_nil(state)
        assert.equal(1, pool:fetchval { "select 1", timeout = false })
        assert.equal(1, pool:fetchval { "select 1", timeout = weirpool.null })
        assert.equal(1, pool:fetchval { text = "select 1", timeout = 10 })
        assert.equal(2, pool:fetchval({ text = "select $1 + 0" }, 2))
        pool:connection(function(connection)
            local none, problem = connection:fetch { db.slow, timeout = 0.1 }
            assert.is_nil(none)
            assert.equal("CommandTimeout", problem.class)
        end)
        assert.equal(2, pool:fetchval("select 2"))
    end)

    if db.name == "postgresql" then
        it("knows what it does not know of a late write", function()
            local pool = assert(db.open { max_size = 1 })
            assert(pool:execute "create table late (a int)")
            local text = "insert into late select 1 from pg_sleep($1)"
            assert(pool:execute(text, 0)) -- known now, it is sent at once, however busy the machine is
            local slow = { text, timeout = 0.1 }
            local function in_doubt(done, err)
                assert.is_nil(done)
                assert.equal("OutcomeTimeout", err.class)
                assert.equal("OutcomeUnknown", err:parent())
                for _, class in ipairs { "OutcomeUnknown", "CommandTimeout", "PoolTimeout", "Error" } do
                    assert.is_true(err:is(class))
                end
                assert.is_false(err:is("CheckoutTimeout"))
                assert.is_false(err.retryable)
            end
            in_doubt(pool:execute(slow, 60))
            pool:connection(function(connection)
                in_doubt(connection:execute(slow, 60))
                local done, err = connection:transaction(function(inner)
                    return inner:execute(slow, 60)
                end)
                assert.is_nil(done)
                assert.equal("CommandTimeout", err.class)
            end)
            assert.equal(1, pool:fetchval "select count(*) from late")
        end)
    end

    it("gives the column that is wanted", function()
        local pool = assert(db.open())
        assert(pool:connection(function(connection)
            for _, on in ipairs { pool, connection } do
                for column, value in pairs { [1] = 1, [3] = 3, [-1] = 3, [-3] = 1 } do
                    assert.equal(value, on:fetchval { "select 1, 2, 3", column = column })
                end
                assert.is_nil((on:fetchval { "select 1 where 1 = 0", column = 7 }))
                for _, column in ipairs { 4, -4, 0, 1.5, "name" } do
                    support.misuse("column", function() on:fetchval { "select 1, 2, 3", column = column } end)
                end
            end
            return true
        end))
        support.misuse("no option column here", function() pool:fetch { "select 1", column = 1 } end)
    end)

    it("has reads that cannot write", function()
        for _, setup in ipairs { false, function() end } do
            local pool = assert(db.open { setup = setup or nil })
            assert(pool:execute("create table if not exists t (a integer)"))
            assert.equal(2, pool:fetchval({ "select $1 + 0", readonly = true, timeout = 5 }, 2))
            assert.equal(1, pool:execute { "insert into t values (1)", readonly = false })
            local sql = "insert into t values (1) returning a"
            if db.name == "postgresql" then
                sql = "with x as (" .. sql .. ") select * from x"
            end
            for _, method in ipairs { "execute", "fetch", "fetchrow", "fetchval" } do
                local value, err = pool[method](pool, { sql, readonly = true })
                assert.is_nil(value)
                assert.equal("ReadOnlySqlTransaction", err.class)
            end
            support.misuse("readonly", function() pool:fetch { "select 1", readonly = 1 } end)
        end
        local pool = assert(db.open())
        support.misuse("no option readonly here", function()
            pool:executemany({ "select $1", readonly = true }, {})
        end)
        pool:connection(function(connection)
            support.misuse("no option readonly here", function()
                connection:fetch { "select 1", readonly = true }
            end)
        end)
    end)

    it("goes away with its last reference", function()
        local gone = setmetatable({}, { __mode = "k" })
        local pool = assert(db.open())
        assert.equal(1, pool:fetchval("select 1"))
        gone[pool] = true
        local function count()
            local n = 0
            for _ in pairs(gone) do
                n = n + 1
            end
            return n
        end
        local again = assert(weirpool.open { url = db.url, min_size = 0 })
        gone[again] = true
        assert.equal(1, again:fetchval("select 1"))
        assert.equal(2, count())
        again = nil -- luacheck: ignore 311
        collectgarbage()
        collectgarbage()
        assert.equal(1, count())
        assert.equal(1, pool:fetchval("select 1"))
    end)

    it("tells what it has to say", function()
        local lines = {}
        weirpool.log(function(level, line)
            lines[#lines + 1] = level .. " " .. line
            error("a function that fails must not matter")
        end, "debug")
        finally(function()
            weirpool.log(false)
        end)
        local pool = assert(db.open { name = "talker" })
        local holder = assert(pool:connection())
        assert.is_true(pool:close(0)) -- cuts the holder off, and says so
        assert.matches("warning .*pool_spec%.lua:%d+.*cut off", table.concat(lines, "\n"))
        local value, err = holder:fetchval("select 1")
        assert.is_nil(value)
        assert.is_true(err:is("InterfaceError"))
    end)

    it("runs init for each new connection", function()
        local seen = {}
        local pool = assert(db.open { min_size = 2, max_size = 3, init = function(connection)
            seen[#seen + 1] = assert(connection:fetchval("select 41 + $1", 1))
        end })
        local lent = {}
        for n = 1, 3 do
            lent[n] = assert(pool:connection())
            assert.equal(n, lent[n]:fetchval("select $1 + 0", n))
        end
        assert.same({ 42, 42, 42 }, seen)
    end)

    if db.name == "sqlite" then
        it("runs init after init, however many there are", function() -- nested, they would use up the C stack
            local calls = 0
            local pool = assert(db.open { min_size = 250, max_size = 250, init = function(connection)
                calls = calls + assert(connection:fetchval("select 1"))
            end })
            assert.equal(250, calls)
            assert.equal(250, pool:snapshot().idle)
        end)
    end

    it("discards a connection whose init fails", function()
        local lines, calls = {}, 0
        weirpool.log(function(_, line)
            lines[#lines + 1] = line
        end, "error")
        finally(function()
            weirpool.log(false)
        end)
        local pool = assert(db.open { max_size = 1, retry_min = 0.01, checkout_timeout = 10, init = function()
            calls = calls + 1
            if calls == 1 then
                error("not today")
            elseif calls == 2 then
                return nil, "nor now"
            end
        end })
        -- a failed init is a failed attempt to connect: callers are refused until the pool has tried again
        local value, err
        local deadline = os.time() + 10
        local details = {}
        repeat
            value, err = pool:fetchval("select 1")
            details[#details + 1] = err and err.detail
        until value or not err:is("ConnectError") or os.time() > deadline
        assert.matches("not today", details[1])
        assert.equal("nor now", details[#details])
        assert.equal(1, value, tostring(err))
        assert.equal(3, calls)
        local all = table.concat(lines, "\n")
        assert.matches("not today", all)
        assert.matches("nor now", all)
    end)

    it("runs setup at each checkout", function()
        local calls, outcome = 0, nil
        local pool = assert(db.open { max_size = 1, setup = function(session)
            calls = calls + 1
            assert(session:fetchval("select 1"))
            if outcome then
                return outcome()
            end
        end })
        assert.equal(5, pool:fetchval("select $1 + 0", 5))
        assert.equal(1, calls)
        assert(pool:session(function(session)
            return session:fetchval("select 1")
        end))
        assert.equal(2, calls)
        assert.equal(7, pool:fetchval({ "select $1 + 0", timeout = 5 }, 7))
        local holder = assert(pool:connection())
        local value, err = pool:fetchval { "select 1", timeout = 0.02 }
        assert.is_nil(value)
        assert.equal("CheckoutTimeout", err.class)
        value, err = pool:transaction({ "select 1" }, { timeout = 0.02 })
        assert.is_nil(value)
        assert.equal("CheckoutTimeout", err.class)
        holder:close()
        outcome = function()
            return nil, "unfit"
        end
        value, err = pool:fetchval("select 1")
        assert.is_nil(value)
        assert.equal("unfit", err)
        outcome = function()
            error("broken", 0)
        end
        assert.has_error(function()
            pool:connection()
        end, "broken")
        outcome = nil
        assert.equal(1, pool:fetchval("select 1"))
        assert.equal(0, pool:snapshot().active)
        assert.equal(2, pool:snapshot().connections_closed) -- those whose setup has failed
    end)

    it("gives setup the time of the checkout", function()
        local late, calls = true, 0
        local pool = assert(db.open { min_size = 1, max_size = 1, setup = function()
            calls = calls + 1
            local begin = os.clock()
            while late and os.clock() - begin < 0.15 do
                calls = calls + 0 -- waits for nothing that the core knows of
            end
        end })
        local function refused(class, method, ...)
            support.eventually(function() -- the time is the setup's alone
                return pool:snapshot().idle == 1
            end)
            local value, err = pool[method](pool, ...)
            assert.is_nil(value)
            assert.equal(class, err.class)
        end
        refused("CheckoutTimeout", "connection", { checkout_timeout = 0.1 })
        refused("CheckoutTimeout", "session", { checkout_timeout = 0.1 })
        refused("SessionTimeout", "session", { timeout = 0.1 })
        refused("CommandTimeout", "fetchval", { "select 1", timeout = 0.1 })
        refused("CommandTimeout", "fetchval", { "select 1", timeout = 0.1, readonly = true })
        refused("CommandTimeout", "transaction", { "select 1" }, { timeout = 0.1 })
        refused("CheckoutTimeout", "run", { timeout = 0.1 }, function() end)
        assert.equal(7, calls)
        late = false
        assert.equal(1, pool:fetchval { "select 1", timeout = 60 })
        assert.equal(7, pool:snapshot().connections_closed)
        assert.equal(1, pool:transaction({ "select 1 as n" }, { timeout = 60 })[1][1].n)
    end)

    if db.name == "postgresql" then
        it("has one time for a call and the setup before it", function()
            local pool = assert(db.open { max_size = 1, setup = function(connection)
                return connection:execute("select pg_sleep(0.1)")
            end })
            local nap = "select pg_sleep(0.15)"
            local function refused(method, ...)
                assert(pool:check_health()) -- the connection is free
                local value, err = pool[method](pool, ...)
                assert.is_nil(value)
                assert.equal("CommandTimeout", err.class)
            end
            refused("fetchval", { "select 1", timeout = 0.05 })
            refused("execute", { nap, timeout = 0.2 })
            refused("transaction", { nap, nap, nap }, { timeout = 0.2 })
            assert(pool:transaction({ nap, nap }, { timeout = 60 }))
        end)
    end
end)

support.each("a pool with a background thread", function(db)
    if db.name == "sqlite" then
        return
    end

    it("keeps its size though nobody calls it", function()
        assert(db.open { min_size = 2, background_thread = true, retry_min = 0.01, name = "kept" })
        local other = assert(db.open { max_size = 1, pipeline = false })
        local others = " from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
        local count = "select count(*)" .. others
        assert.equal(2, other:fetchval(count))
        assert(other:fetch("select pg_terminate_backend(pid, 10000)" .. others))
        support.eventually(function()
            return other:fetchval(count) == 2
        end)
    end)
end)

support.each("a pool's holders", function(db)
    it("are told, and taken back from", function()
        local lines = {}
        weirpool.log(function(_, line)
            lines[#lines + 1] = line
        end)
        local options = { max_size = 1, leak_threshold = 0.02, leak_action = "cancel", leak_stacks = 1 }
        local pool = assert(db.open(options))
        local session = assert(pool:session())
        assert(session:execute "create table t (a integer)")
        local holder = assert(pool:holders())[1]
        assert.matches("pool_spec.lua", holder.file)
        assert.equal("create table t (a integer)", holder.statement)
        assert.matches("pool_spec.lua:%d+:", holder.stack)
        assert.is_false(holder.busy)
        assert.same({}, pool:holders(1000))
        support.eventually(function()
            return pool:snapshot().leaks == 1
        end)
        local done, err = session:execute "insert into t values (1)"
        assert.is_nil(done)
        assert.equal("SessionReclaimed", err.class)
        assert.equal(7, pool:fetchval "select 7")
        assert.same({}, pool:holders())
        assert.matches("pool_spec.lua:%d+%) has held a connection", table.concat(lines, "\n"))
        weirpool.log(false)
        support.misuse("min_age", function()
            pool:holders(-1)
        end)
    end)

    it("wait for another connection by name", function() -- in vain: all coroutines wait with them
        local lines = {}
        weirpool.log(function(_, line)
            lines[#lines + 1] = line
        end)
        local pool = assert(db.open { max_size = 1, checkout_timeout = 0.02 })
        local session = assert(pool:session { checkout_timeout = 60 }) -- the connection is being made
        local waits = {
            function()
                return pool:session()
            end,
            function()
                return pool:fetchval "select 1"
            end,
            function()
                return pool:transaction { "select 1" }
            end,
            coroutine.wrap(function()
                return pool:connection()
            end),
        }
        for n, wait in ipairs(waits) do
            local _, err = wait()
            assert.equal("CheckoutTimeout", err.class)
            assert.matches("the caller itself holds one, checked out by .*pool_spec.lua", err.message)
            assert.equal(n, pool:snapshot().checkouts_nested)
        end
        local told = table.concat(lines, "\n")
        assert.matches("pool_spec.lua.* holds a connection and waits for another one", told)
        session:close()
        assert.equal(1, pool:fetchval { "select 1", timeout = 60 })
        assert.equal(#waits, pool:snapshot().checkouts_nested)
        weirpool.log(false)
    end)

    it("loses a transaction in which nothing is run", function()
        local pool = assert(db.open { max_size = 1, idle_in_transaction_timeout = 0.02 })
        local session = assert(pool:session())
        assert(session:execute "create table idled (a integer)")
        support.eventually(function()
            return pool:snapshot().transactions_idle == 1
        end)
        local none, err = session:execute "select 1"
        assert.is_nil(none)
        assert.equal("IdleInTransactionTimeout", err.class)
        none, err = pool:fetch "select * from idled" -- it was rolled back
        assert.is_nil(none)
        assert.is_true(err:is "ProgrammingError")
        assert.equal(1, pool:fetchval "select 1")
        assert(pool:close())
    end)
end)
