local support = require "support"
local weirpool = require "weirpool"

local COUNT = {
    sqlite = "with recursive c(n) as (select 1 union all select n + 1 from c where n < $1) "
        .. "select n from c where n <= $1",
    postgresql = "select n from generate_series(1, $1::int) as n",
}
local LATE = { -- fails at the 20th row
    sqlite = "select json_extract(case when n < 20 then '{}' else '{' end, '$') from (%s)",
    postgresql = "select 1 / (20 - n) from (%s) as s",
}

local MEMORY = [[
local weirpool = require "weirpool"
%s
local url, sql = %q, %q
local pool = assert(weirpool.open { url = url, min_size = 0, max_size = 1 })
local before, most, last
for row in pool:stream(sql, 300000) do
    if row.n %% 10000 == 0 then
        before = before or resident()
        most = math.max(most or 0, resident())
    end
    last = row.n
end
print(last, most - before)]]

local function first(count, ...)
    local all = { ... }
    return (table.unpack or unpack)(all, 1, count) -- luacheck: ignore 113
end

support.each("a stream", function(db)
    local pool
    local count = COUNT[db.name]
    before_each(function()
        pool = assert(db.open { max_size = 1, checkout_timeout = 5 })
    end)

    --- Calls fn(lent) with each of what has stream().
    local function each(fn)
        fn(pool)
        assert(pool:session(function(session)
            fn(session)
            return true
        end))
        assert(pool:connection(function(connection)
            fn(connection)
            return true
        end))
        assert.equal(0, pool:snapshot().active)
        assert.equal(1, pool:fetchval("select 1"))
    end

    it("gives all rows in their order", function()
        each(function(lent)
            local cases = { { 0, 10 }, { 1, 10 }, { 9, 10 }, { 10, 10 }, { 11, 10 }, { 2500 }, { 25, 1 } }
            for _, case in ipairs(cases) do
                local n = 0
                for row in lent:stream({ count, prefetch = case[2] }, case[1]) do
                    n = n + 1
                    assert(row.n == n and row[1] == n)
                end
                assert.equal(case[1], n)
            end
        end)
    end)

    it("may be left", function()
        each(function(lent)
            for _ = 1, 3 do
                local seen = 0
                local stream = lent:stream({ text = count, prefetch = 7 }, 100000)
                for row in stream do
                    seen = row.n
                    if seen == 10 then
                        break
                    end
                end
                assert.equal(10, seen)
                assert.equal(11, stream:next().n) -- it goes on, until it is closed
                assert.is_true(stream:close())
                assert.is_true(stream:close())
                assert.equal(5, lent:fetchval("select 5"))
                support.misuse("the stream has been closed", function() stream:next() end)
            end
        end)
        assert.equal(1, pool:snapshot().size)
    end)

    it("is read by next, too", function()
        each(function(lent)
            local stream = lent:stream({ count, prefetch = 2 }, 3)
            for n = 1, 3 do
                assert.equal(n, assert(stream:next()).n)
            end
            for _ = 1, 2 do
                local row, err, state = stream:next()
                assert.is_true(row == nil and err == nil and state == nil)
            end
            assert.equal(5, lent:fetchval("select 5"))
        end)
    end)

    it("raises a failure out of the loop, and next gives it", function()
        for _, wrong in ipairs { "select nonsense", "select 1; select 2", LATE[db.name]:format(count) } do
            local seen, given = 0, wrong:find("%$1") and 100 or nil
            local ok, err = pcall(function()
                for _ in pool:stream({ wrong, prefetch = 5 }, given) do
                    seen = seen + 1
                end
            end)
            assert.is_false(ok)
            assert.is_true(weirpool.is_error(err))
            assert.is_true(seen < 20)
            assert.equal(0, pool:snapshot().active)
            assert(pool:connection(function(connection)
                local stream = connection:stream({ wrong, prefetch = 5 }, given)
                local row, problem, state
                repeat
                    row, problem, state = stream:next()
                until not row
                assert.equal(err.class, problem.class)
                assert.equal(err.sqlstate, state)
                assert.same({ nil, problem, state }, { first(3, stream:next()) }) -- again
                assert.equal(5, connection:fetchval("select 5"))
                return true
            end))
        end
    end)

    it("may raise in the middle of a loop", function()
        each(function(lent)
            assert.has_error(function()
                for row in lent:stream({ count, prefetch = 7 }, 100000) do
                    if row.n == 10 then
                        error("mine", 0)
                    end
                end
            end, "mine")
            collectgarbage() -- where a loop closes nothing
            collectgarbage()
            assert.equal(5, lent:fetchval("select 5"))
        end)
    end)

    it("is made before anything is lent or sent", function()
        local stream = pool:stream(count, 3)
        assert.equal(0, pool:snapshot().checkouts_granted)
        assert(pool:close(0))
        local row, err = stream:next()
        assert.is_nil(row)
        assert.equal("PoolClosed", err.class)
        local ok, raised = pcall(function()
            for _ in pool:stream(count, 3) do
                error("no row")
            end
        end)
        assert.is_false(ok)
        assert.equal("PoolClosed", raised.class)
    end)

    it("ends with its session", function()
        local session = assert(pool:session())
        local stream = session:stream({ count, prefetch = 2 }, 100)
        assert.equal(1, stream:next().n)
        session:close()
        assert.equal(2, stream:next().n) -- that was here
        support.misuse("the session has been returned", function() stream:next() end)
        support.misuse("the session has been returned", function() session:stream(count, 1) end)
        assert.equal(1, pool:fetchval("select 1"))
    end)

    it("gives back what the pool lent it when the collector finds it, and that is told", function()
        local lines = {}
        weirpool.log(function(level, line)
            lines[#lines + 1] = level .. ": " .. line
        end)
        finally(function()
            weirpool.log(false)
        end)
        local function forget()
            assert(pool:stream({ count, prefetch = 2 }, 100):next())
        end
        forget()
        collectgarbage()
        collectgarbage()
        assert.equal(1, pool:fetchval("select 1")) -- on its only connection
        assert.matches("warning: .*collector.*stream_spec%.lua:%d+", table.concat(lines, "\n"))
    end)

    it("runs behind a setup hook", function()
        local seen = 0
        local hooked = assert(db.open { max_size = 1, setup = function(connection)
            seen = seen + connection:fetchval "select 1"
        end })
        local n = 0
        for row in hooked:stream(count, 10) do
            n = n + row.n
        end
        assert.same({ 55, 1 }, { n, seen })
    end)

    it("takes nothing else", function()
        for _, options in ipairs { { "select 1", prefetch = 0 }, { "select 1", prefetch = "many" },
            { "select 1", prefetch = 1.5 }, { "select 1", prefetch = 2 ^ 30 } } do
            support.misuse("prefetch", function() pool:stream(options) end)
        end
        support.misuse("timeout", function() pool:stream { "select 1", timeout = 0 } end)
        support.misuse("no option readonly here", function() pool:stream { "select 1", readonly = true } end)
        support.misuse("text is wanted", function() pool:stream() end)
        support.misuse("colon", function() pool.stream("select 1") end)
        support.misuse("no option prefetch here", function() pool:fetch { "select 1", prefetch = 3 } end)
    end)

    it("works across yields", function()
        local step = coroutine.wrap(function()
            for row in pool:stream({ count, prefetch = 2 }, 5) do
                coroutine.yield(row.n)
            end
            return "end"
        end)
        for n = 1, 5 do
            assert.equal(n, step())
        end
        assert.equal("end", step())
    end)

    it("has bounded memory", function()
        local text = db.name == "sqlite" and "'0123456789' || n" or "repeat('0123456789', 10) || n"
        local sql = ("select n, %s as t from (%s) as s"):format(text, count)
        local output = support.run(MEMORY:format(support.RESIDENT, db.url, sql), support.NO_QUARANTINE)
        local last, grown = output:match("(%d+)\t(%d+)%s*$") -- behind what is logged
        assert.equal("300000", last, output)
        assert.is_true(tonumber(grown) < 8 * 2 ^ 20, grown)
    end)

    if _VERSION == "Lua 5.4" then
        local scopes = dofile(support.here .. "/scopes.lua54")

        it("is closed when its loop or its scope is left", function()
            each(function(lent)
                scopes.streams(lent, count)
                assert.equal(5, lent:fetchval("select 5"))
            end)
        end)
    end

    if db.name == "postgresql" then
        it("goes beside others, and beside statements", function()
            assert(pool:session(function(session)
                local others, seen = session:stream({ count, prefetch = 4 }, 50), 0
                for row in session:stream({ count, prefetch = 3 }, 50) do
                    seen = seen + 1
                    assert(row.n == seen and others:next().n == seen and session:fetchval("select 1") == 1)
                end
                assert.is_nil((others:next()))
                return true
            end))
        end)

        it("has a deadline for each batch", function()
            local late = "case when n > 10 then pg_sleep(600)::text end"
            local sql = ("select n, %s from generate_series(1, 20) as n"):format(late)
            local stream, seen = pool:stream { sql, prefetch = 5, timeout = 0.3 }, 0
            local row, err
            repeat
                row, err = stream:next()
                seen = seen + (row and 1 or 0)
            until not row
            assert.equal("CommandTimeout", err.class)
            assert.equal(10, seen)
            assert.equal(1, pool:fetchval("select 1"))
        end)
    end
end)
