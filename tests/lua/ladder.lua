-- Run by ladder.c: all that the module does, on PostgreSQL what it does there alone, with one allocation of
-- Lua's refused somewhere.
local url = ...
local weirpool = require "weirpool"
weirpool.log(function() end, "debug")
local Money = {}
local codecs = { money = {
    decoder = function(text)
        return setmetatable({ text }, Money)
    end,
    encoder = function(value)
        return value[1]:sub(2)
    end,
    metatable = Money,
} }
local function record(err)
    return err.sqlstate == "23505"
end
local options = { url = url, min_size = 1, max_size = 1, codecs = codecs, circuit_record = record }
local pool = assert(weirpool.open(options))
assert(pool:execute("drop table if exists ladder"))
assert(pool:execute("create table ladder (a integer unique, b text)"))

local function work()
    local more = { url = url, min_size = 1, max_size = 1, init = function() end, name = "other" }
    local other = assert(weirpool.open(more))
    assert(other:fetchval("select 1") == 1)
    assert(other:close())
    local sets = { { 1, "a" }, { 2, weirpool.null }, { n = 2, 3 } }
    assert(pool:executemany("insert into ladder values ($1, $2)", sets))
    assert(#assert(pool:fetch("select a, b from ladder where a < $1", 9)) == 3)
    local none, err = pool:execute("insert into ladder values (1, 'x')")
    assert(none == nil and err:is("IntegrityError") and tostring(err))
    assert(pool:session({ isolation = "serializable", timeout = 10 }, function(session)
        return session:transaction(function()
            assert(session:inspect().depth == 2)
            return session:execute({ "delete from ladder where b = $1", timeout = 5 }, "none")
        end)
    end))
    local again
    assert(pool:run({ retries = 1, timeout = 10 }, function(session)
        if again then
            return session:fetchval("select 1")
        end
        again = err -- that of the insert, made one to be repeated
        again.code, again.sqlstate, again.retryable = 20, "40001", true
        return nil, again
    end) == 1)
    assert(pool:session()) -- and forgotten
    collectgarbage()
    assert(pool:snapshot().max_size == 1)
    assert(assert(pool:metrics { format = "openmetrics", names = "seed" }):sub(-6) == "# EOF\n")
    assert(pool:alert_history() and pool:slow_queries() and pool:history("query"))
    assert(pool:check_health({ timeout = 60 }).passed > 0)
    assert(#pool:health_history() > 0)
    assert(not pcall(pool.fetch, pool, "select $1", print))
    local array = weirpool.array { { 1, weirpool.numeric("2.5") }, { "x", weirpool.null } }
    assert(pool:fetchval("select $1", array) == '[[1, 2.5], ["x", null]]')
    local seen = 0
    for row in pool:stream({ "select 1 as n union all select 2", prefetch = 1 }) do
        seen = seen + row.n
    end
    assert(seen == 3)
    assert(pool:session(function(session)
        assert(session:stream("select 1 as n"):next().n == 1) -- and forgotten
        return session:pipeline(function(p)
            local first, second = p:fetchval("select $1 + 0", 1), p:fetchrow("select $1 + 0", 2)
            p:execute("select nonsense"):get()
            return second:get()[1] + first:get()
        end)
    end) == 3)
    assert(pool:execute_script("select 1; select 2") == "SELECT 1")
    assert(pool:fetchval({ "select 1, 2", column = -1, readonly = true }) == 2)
    assert(not pool:fetchval("select $1", weirpool.range { lower = 1, upper = weirpool.numeric("2") }))
    assert(pool:execute("delete from ladder"))
end

local IN, OUT = "copy ladder from stdin (format csv)", "copy ladder to stdout"

local function work_copy()
    local money = weirpool.array { setmetatable({ "$1.50" }, Money), setmetatable({ "$2.50" }, Money) }
    assert(assert(pool:fetchval("select $1::money[]", money))[2][1] == "$2.50")
    assert(pool:copy_in(IN, "1,x\n2,y\n") == 2)
    local pieces = { "3,", "z\n" }
    assert(pool:session(function(session)
        return session:copy_in({ IN, timeout = 10 }, function()
            return table.remove(pieces, 1)
        end)
    end) == 1)
    local none, err = pool:copy_in(IN, "bad,x\n")
    assert(none == nil and err.sqlstate == "22P02")
    none, err = pool:copy_in(IN, function() return nil, "mine" end)
    assert(none == nil and err == "mine")
    local rows = { { 4, "x" }, { 5, weirpool.null } }
    assert(pool:copy_records("ladder", rows, { columns = { "a", "b" }, timeout = 10 }) == 2)
    assert(not pool:copy_records("ladder", { { "x" } }, { columns = { "a" } }))
    local seen = 0
    for chunk in pool:copy_out(OUT) do
        seen = seen + #chunk
    end
    assert(seen > 0 and pool:copy_out(OUT, function() end) == 5)
    assert(pool:connection(function(connection)
        local chunks = connection:copy_out("copy (select generate_series(1, 1000000)) to stdout")
        assert(chunks:next()) -- and forgotten
        return true
    end))
end

_G.ladder()
local ok, err = pcall(pool.database_system == "postgresql" and work_copy or work)
_G.whole()
collectgarbage()
collectgarbage()
-- the one connection has come back, whatever has happened
assert(pool:fetchval("select count(*) from ladder"))
assert(pool:snapshot().active == 0)
assert(pool.breaker.query:snapshot().running == 0)
assert(pool:close())
if not ok then
    error(err, 0)
end
