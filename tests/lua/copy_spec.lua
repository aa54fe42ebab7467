local support = require "support"
local weirpool = require "weirpool"

local CSV = "copy t (a, b) from stdin (format csv)"
local TO_CSV = "copy (select a, b from t order by a) to stdout (format csv)"
local ENDLESS = "copy (select generate_series(1, 1000000000)) to stdout"

local MEMORY = [[
local weirpool = require "weirpool"
%s
local pool = assert(weirpool.open { url = %q, min_size = 0, max_size = 1 })
assert(pool:execute "create table big (a int, b text)")
local blocks, before, most = 0, nil, 0
local function look()
    blocks = blocks + 1
    if blocks %% 20 == 0 then
        before = before or resident()
        most = math.max(most, resident())
    end
end
local line = "1," .. ("x"):rep(96) .. "\n"
local count = assert(pool:copy_in("copy big from stdin (format csv)", function()
    look()
    return blocks <= 800 and line:rep(655) or nil
end))
local bytes = 0
for chunk in pool:copy_out "copy big to stdout" do
    look()
    bytes = bytes + #chunk
end
print(count, bytes, most - before)]]

--- A source that gives these.
local function some(pieces)
    local n = 0
    return function()
        n = n + 1
        return pieces[n]
    end
end

support.each("a script", function(db)
    it("has many commands", function()
        local pool = assert(db.open { max_size = 1 })
        local tag = db.name == "sqlite" and "^INSERT" or "^INSERT 0 1"
        for _, lend in ipairs { "session", "connection" } do
            assert(pool[lend](pool, function(lent)
                assert.matches(tag, lent:execute_script "create table t (a int); insert into t values (1)")
                local none, err = lent:execute_script "insert into t values (2); insert into no values (3)"
                assert.is_nil(none)
                assert.equal("UndefinedTable", err.class)
                return lend == "connection" or lent:rollback()
            end))
        end
        assert.equal("", pool:execute_script "-- nothing")
        assert.is_true(pool:fetchval "select count(*) from t" >= 1)
        local _, err = pool:execute_script { db.slow, timeout = 0.05 }
        assert.is_true(err:is("CommandTimeout"))
        support.misuse("no parameters", function() pool:execute_script("select $1", 1) end)
        assert.equal(0, pool:snapshot().active)
    end)
end)

support.each("COPY", function(db)
    local pool
    before_each(function()
        pool = assert(db.open { max_size = 2, checkout_timeout = 5 })
        assert(pool:execute("create table t (a int, b text)"))
    end)

    if db.name == "sqlite" then
        it("is not there", function()
            for _, given in ipairs {
                { pool:copy_in(CSV, "1,x\n") },
                { pool:copy_out(TO_CSV, print) },
                { pool:copy_out(TO_CSV):next() },
                { pool:copy_records("t", { { 1, "x" } }) },
            } do
                assert.is_nil(given[1])
                assert.equal("NotSupportedError", given[2].class)
            end
            assert.equal(0, pool:snapshot().active)
        end)
        return
    end

    local function count()
        return pool:fetchval("select count(*) from t")
    end

    --- Calls fn(connection) in autocommit, and sees to it that the same connection works on.
    local function on_one(fn)
        assert(pool:connection(function(connection)
            local backend = connection:inspect().backend
            fn(connection)
            assert.equal(2, connection:fetchval("select 2"))
            assert.equal(backend, connection:inspect().backend)
            return true
        end))
        assert.equal(0, pool:snapshot().active)
    end

    it("reads all kinds of sources", function()
        local lines = {}
        for n = 1, 30000 do
            lines[n] = n .. ",x" .. n .. "\n"
        end
        local many = table.concat(lines)
        local name = os.tmpname()
        local file = assert(io.open(name, "w"))
        file:write(many)
        file:close()
        file = assert(io.open(name))
        local at = 0
        local reader = { read = function(_, size)
            at = at + size
            return at - size < #many and many:sub(at - size + 1, at) or nil
        end }
        on_one(function(connection)
            for _, source in ipairs { many, some(lines), some { "", many, "" }, file, reader } do
                assert.equal(30000, connection:copy_in(CSV, source))
            end
            assert.equal(2, pool:copy_in({ CSV, timeout = 10 }, "1,x\n2,y"))
            for _, empty in ipairs { "", some {}, some { "" } } do
                assert.equal(0, connection:copy_in(CSV, empty))
            end
        end)
        file:close()
        os.remove(name)
        assert.equal(150002, count())
        assert.equal("15000", pool:fetchval("select b from t where a = 15000 limit 1"):sub(2))
    end)

    it("ends with a source that fails", function()
        local before = ("1,x\n"):rep(50000)
        local function broken(how)
            local given
            return function()
                if given then
                    return how()
                end
                given = true
                return before
            end
        end
        on_one(function(connection)
            local value, err, state = connection:copy_in(CSV, broken(function() return nil, "mine", "X" end))
            assert.same({ nil, "mine", "X" }, { value, err, state })
            assert.has_error(function()
                connection:copy_in(CSV, broken(function() error("mine", 0) end))
            end, "mine")
            support.misuse("gives strings, not a number", function()
                connection:copy_in(CSV, broken(function() return 7 end))
            end)
            value, err = connection:copy_in(CSV, assert(io.open("/tmp"))) -- a folder
            assert.is_nil(value)
            assert.matches("directory", err)
        end)
        local ok, err = pcall(function()
            return pool:session(function(session)
                return session:copy_in(CSV, broken(function()
                    session:close()
                    return "1,x\n"
                end))
            end)
        end)
        assert.is_false(ok)
        assert.matches("has been returned", err)
        assert.equal(0, count())
    end)

    it("tells what the server refuses", function()
        on_one(function(connection)
            local value, err, state = connection:copy_in("copy missing from stdin", function()
                error("nobody asks")
            end)
            assert.is_nil(value)
            assert.equal("UndefinedTable", err.class)
            assert.equal("42P01", state)
            value, err, state = connection:copy_in(CSV, "1,x\nzwei,y\n")
            assert.is_nil(value)
            assert.equal("22P02", err.sqlstate)
            assert.equal("22P02", state)
            local bad = "bad,x\n" -- an error in the data is told while the source still has some
            value, err = connection:copy_in(CSV, function()
                bad = "1,x\n" .. bad
                return bad:rep(1000)
            end)
            assert.is_nil(value)
            assert.equal("22P02", err.sqlstate)
            local failing = "copy (select 10 / (5 - n) from generate_series(1, 9) n) to stdout"
            value, err = connection:copy_out(failing, function() end)
            assert.is_nil(value)
            assert.equal("DivisionByZero", err.class)
            local chunks = connection:copy_out(failing)
            repeat
                value, err, state = chunks:next()
            until value == nil
            assert.equal("22012", state)
            assert.equal(err, select(2, chunks:next()))
            local ok, raised = pcall(function()
                for _ in connection:copy_out(failing) do end -- luacheck: ignore 542
            end)
            assert.is_false(ok)
            assert.equal("DivisionByZero", raised.class)
        end)
        assert.equal(0, count())
    end)

    it("writes to all kinds of targets", function()
        local expected = {}
        for n = 1, 50000 do
            expected[n] = n .. ",x\n"
        end
        expected = table.concat(expected)
        assert.equal(50000, pool:copy_in(CSV, expected))
        on_one(function(connection)
            local file = io.tmpfile()
            assert.equal(50000, connection:copy_out(TO_CSV, file))
            file:seek "set"
            assert.is_true(file:read "*a" == expected)
            file:close()
            local pieces = {}
            assert.equal(50000, pool:copy_out(TO_CSV, function(chunk)
                pieces[#pieces + 1] = chunk
            end))
            assert.is_true(table.concat(pieces) == expected)
            pieces = {}
            local chunks = connection:copy_out(TO_CSV)
            assert.is_nil(chunks.rows)
            for chunk in chunks do
                pieces[#pieces + 1] = chunk
                assert.equal("\n", chunk:sub(-1))
            end
            assert.is_true(#pieces > 2 and table.concat(pieces) == expected)
            assert.equal(50000, chunks.rows)
            assert.is_nil((chunks:next()))
            assert.equal(0, connection:copy_out("copy (select 1 where false) to stdout", print))
            local value, err = connection:copy_out(TO_CSV, function() return nil, "full", 7 end)
            assert.same({ nil, "full" }, { value, err })
            value, err = connection:copy_out(TO_CSV, assert(io.open("/dev/null"))) -- for reading
            assert.is_nil(value)
            assert.matches("Bad file descriptor", err)
            assert.has_error(function()
                connection:copy_out(TO_CSV, function() error("mine", 0) end)
            end, "mine")
        end)
    end)

    it("may be left", function()
        on_one(function(connection)
            local chunks = connection:copy_out(ENDLESS)
            for chunk in chunks do
                if chunk:sub(1, 4) ~= "1\n2\n" then
                    break
                end
            end
            assert.is_true(chunks:close())
            assert.equal(5, connection:fetchval("select 5"))
            local held = connection:copy_out(ENDLESS)
            assert(held:next())
            local value, err = connection:fetchval("select 1")
            assert.is_nil(value)
            assert.equal("SessionBusy", err.class)
            value, err = connection:copy_out(ENDLESS):next() -- which ends nothing of the other's
            assert.is_nil(value)
            assert.equal("SessionBusy", err.class)
            collectgarbage()
            collectgarbage()
            assert(held:next())
            held = nil -- luacheck: ignore 311
            collectgarbage()
            collectgarbage()
            assert.equal(5, connection:fetchval("select 5"))
            connection:copy_out(ENDLESS) -- nothing was sent
        end)
        local chunks = pool:copy_out(ENDLESS)
        assert(chunks:next())
        assert.equal(1, pool:snapshot().active)
        chunks:close()
        assert(pool:session(function(session)
            local kept = session:copy_out(ENDLESS)
            assert(kept:next())
            assert(session:rollback()) -- the COPY falls with its transaction
            assert.equal(0, session:fetchval("select count(*) from t"))
            support.misuse("no COPY TO STDOUT runs on this session", function() kept:next() end)
            return true
        end))
        assert.equal(0, pool:snapshot().active)
        assert.equal(0, pool:snapshot().connections_lost)
    end)

    if _VERSION == "Lua 5.4" then
        local scopes = dofile(support.here .. "/scopes.lua54")

        it("ends when its loop or its scope is left", function()
            on_one(function(connection)
                scopes.copies(connection, ENDLESS)
            end)
            scopes.copies(pool, ENDLESS)
            assert.equal(0, pool:snapshot().active)
        end)
    end

    it("is part of its transaction", function()
        assert(pool:session(function(session)
            assert.equal(1, session:copy_in(CSV, "1,x\n")) -- the first statement: BEGIN goes ahead
            assert.is_nil((session:transaction(function(inner)
                assert.equal(1, inner:copy_in(CSV, "2,x\n"))
                return inner:copy_in(CSV, "bad,x\n")
            end)))
            local found
            for chunk in session:copy_out(TO_CSV) do
                found = (found or "") .. chunk
            end
            assert.equal("1,x\n", found)
            return session:rollback()
        end))
        assert.equal(0, count())
        assert(pool:session(function(session)
            return session:copy_in(CSV, "1,x\n")
        end))
        assert.equal(1, count())
    end)

    it("has a deadline over all of it", function()
        on_one(function(connection)
            local value, err = connection:copy_in({ CSV, timeout = 0.1 }, function()
                connection.pool:fetchval("select pg_sleep(0.3)")
                return ("1,x\n"):rep(20000)
            end)
            assert.is_nil(value)
            assert.equal("CommandTimeout", err.class)
            value, err = connection:copy_out { "copy (select pg_sleep(600)) to stdout", timeout = 0.1 }:next()
            assert.is_nil(value)
            assert.equal("CommandTimeout", err.class)
        end)
        assert.equal(0, count())
        local one = assert(db.open { max_size = 1 })
        one:connection(function()
            for _, given in ipairs {
                { one:copy_in({ CSV, timeout = 0.1 }, "1,x\n") },
                { one:copy_out({ TO_CSV, timeout = 0.1 }, print) },
                { one:copy_records("t", { { 1, "x" } }, { timeout = 0.1 }) },
            } do
                assert.is_nil(given[1])
                assert.equal("CheckoutTimeout", given[2].class)
            end
        end)
    end)

    it("has bounded memory", function()
        local output = support.run(MEMORY:format(support.RESIDENT, db.url), support.NO_QUARANTINE)
        local rows, bytes, grown = output:match("^(%d+)\t(%d+)\t(%d+)")
        assert.same({ tostring(800 * 655), tostring(800 * 655 * 99) }, { rows, bytes }, output)
        assert.is_true(tonumber(grown) < 8 * 2 ^ 20, grown)
    end)

    it("takes nothing else", function()
        on_one(function(connection)
            for _, source in ipairs { 7, true, {}, weirpool.null } do
                support.misuse("copy_in takes a string, an open file or a function", function()
                    connection:copy_in(CSV, source)
                end)
            end
            support.misuse("copy_in takes a string", function() connection:copy_in(CSV) end)
            support.misuse("writes to an open file or a function", function()
                connection:copy_out(TO_CSV, 7)
            end)
            support.misuse("writes to", function() pool:copy_out(TO_CSV, "file") end)
            support.misuse("no option prefetch", function() connection:copy_out { TO_CSV, prefetch = 7 } end)
            support.misuse("copy_in takes COPY … FROM STDIN", function()
                connection:copy_in("select 1", "")
            end)
            support.misuse("copy_out takes COPY … TO STDOUT", function()
                connection:copy_out("select 1"):next()
            end)
            -- also where the server tells it
            support.misuse("run it with copy_out", function() connection:copy_in(TO_CSV, "") end)
            support.misuse("run it with copy_in", function() connection:copy_out(CSV):next() end)
            local none, err = connection:execute(CSV)
            assert.is_nil(none)
            assert.matches("run them with copy_in or copy_out", err.message)
            assert.equal(1, connection:fetchval "select 1")
        end)
        local session = assert(pool:session())
        session:close()
        support.misuse("returned", function() session:copy_in(CSV, "1,x\n") end)
        support.misuse("returned", function() session:copy_out(TO_CSV) end)
    end)

    it("runs behind a setup hook", function()
        local seen = 0
        local hooked = assert(db.open { max_size = 1, setup = function(connection)
            seen = seen + connection:fetchval "select 1"
        end })
        assert.equal(1, hooked:copy_in(CSV, "1,x\n"))
        assert.equal(1, hooked:copy_records("t", { { 2, "x" } }))
        assert.equal(2, hooked:copy_out(TO_CSV, function() end))
        assert.equal("INSERT 0 1", hooked:execute_script "insert into t values (3)")
        assert.equal(4, seen)
    end)
end)
