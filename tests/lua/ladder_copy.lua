-- Run by ladder.c: COPY and codecs, with one allocation of Lua's refused somewhere.
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
local pool = assert(weirpool.open { url = url, min_size = 1, max_size = 1, codecs = codecs })
assert(pool:execute("create table if not exists ladder (a integer, b text)"))
assert(pool:execute("delete from ladder"))

local IN, OUT = "copy ladder from stdin (format csv)", "copy ladder to stdout"

local function work()
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
local ok, err = pcall(work)
_G.whole()
collectgarbage()
collectgarbage()
-- the one connection has come back, whatever has happened
assert(pool:fetchval("select count(*) from ladder"))
assert(pool:snapshot().active == 0)
assert(pool:close())
if not ok then
    error(err, 0)
end
