-- All eight alerts of a pool, provoked on a real PostgreSQL, one after the other: a session is leaked, the
-- pool fills, statements are slow and fail, checkouts are slow and fail, the server is killed and comes back.
-- Each alert fires once, with the numbers that caused it, and is resolved when its cause is gone. Then all of
-- that happens again, within the cooldown: nothing is heard. It ends with an error when it was otherwise.
--     lua5.4 examples/alerts.lua
local weirpool = require "weirpool"

local WINDOW, CONNECTIONS, PATIENCE = 0.5, 10, 20
local here = arg[0]:match("^(.*)/") or "."
local script = here .. "/../tests/support/pg.sh"
local folder = os.tmpname()
os.remove(folder)

local function server(action)
    local pipe = assert(io.popen(("'%s' %s '%s'"):format(script, action, folder)))
    local said = pipe:read("*a"):gsub("%s+$", "")
    pipe:close()
    return said
end

local function sleep(seconds)
    os.execute("sleep " .. seconds)
end

local pool, heard = nil, {}

local function hear(alert)
    heard[#heard + 1] = alert
    local what = alert.resolved and "resolved" or alert.severity
    print(("  %-9s %s: %s"):format(what, alert.type, alert.message))
end

local function has(name, resolved)
    for _, alert in ipairs(heard) do
        if alert.type == name and alert.resolved == resolved then
            return true
        end
    end
    return false
end

--- Calls fn() until the pool has told of all those alerts.
local function until_told(types, resolved, fn)
    local deadline = os.time() + PATIENCE
    for _, name in ipairs(types) do
        while not has(name, resolved) do
            assert(os.time() < deadline, name .. " is missing")
            fn()
        end
    end
end

--- What goes on all the time. A pool of Lua's works while it is called, so this is its clock, too.
local function load()
    pool:fetchval("select 1")
    pool:fetchval("select pg_sleep(0.02)")
end

--- Holds so many connections while fn() runs; for so many seconds each, where that is given.
local function hold(count, seconds, fn)
    local held = {}
    for i = 1, count do
        held[i] = assert(pool:session { timeout = seconds })
    end
    fn()
    for _, session in ipairs(held) do
        session:close()
    end
end

local function slow()
    pool:fetchval("select pg_sleep(0.25)")
end

local function fail()
    assert(not pool:fetchval("select 1 / 0"))
    load()
end

local function wait_long()
    hold(CONNECTIONS, 0.25, function() -- then the pool takes them back
        pool:fetchval("select 1")
    end)
end

local function wait_in_vain()
    hold(CONNECTIONS, nil, function()
        for _ = 1, 5 do
            assert(not pool:connection { checkout_timeout = 0.02 })
        end
    end)
end

local function provoke(what, types, cause)
    print(what)
    cause(types)
    until_told(types, true, load)
end

local function while_held(count)
    return function(types)
        hold(count, nil, function()
            until_told(types, false, load)
        end)
    end
end

local function while_called(fn)
    return function(types)
        until_told(types, false, fn)
    end
end

local function outage(types)
    server "kill"
    until_told(types, false, function()
        pool:fetchval("select 1")
        sleep(0.02)
    end)
    print "the server comes back"
    server "again"
end

local function again()
    local before = pool:snapshot()
    hold(1, nil, function()
        for _ = 1, 6 do
            slow()
            fail()
        end
    end)
    for _ = 1, 4 do
        wait_long()
        wait_in_vain()
    end
    server "kill"
    for _ = 1, 20 do
        pool:fetchval("select 1")
        sleep(0.02)
    end
    server "again"
    local now = pool:snapshot()
    local function more(name)
        return now[name] - before[name]
    end
    print(("  though %d statements failed, %d checkouts timed out, %d connections leaked"):format(
        more "queries_failed", more "checkouts_timed_out", more "leaks"))
end

local function judge()
    local types, alerts = {}, assert(pool:alert_history())
    for _, alert in ipairs(alerts) do
        assert(not types[alert.type], alert.type .. " has fired twice")
        types[alert.type] = true
        assert(alert.resolved and alert.value >= alert.threshold and alert.threshold > 0, alert.message)
    end
    assert(#alerts == 8 and #heard == 16, "each of eight was to fire, and to be resolved")
    assert(#assert(pool:alerts()) == 0)
    local slowest = assert(pool:slow_queries())[1]
    assert(slowest.statement == "select pg_sleep(?)" and slowest.count > 2)
    assert(#assert(pool:history("active", { since = 10 })) > 0)
end

local function main(url)
    weirpool.log(false)
    pool = assert(weirpool.open {
        url = url,
        min_size = CONNECTIONS,
        max_size = CONNECTIONS,
        monitoring_interval = WINDOW / 10,
        alert_window = WINDOW,
        alert_after = 2,
        alert_cooldown = 300,
        alert_minimum_calls = 2,
        alert_query_time = 0.2,
        alert_checkout_time = 0.2,
        alert_leaks = 1,
        leak_threshold = 0.2,
        slow_query_threshold = 0.2,
        checkout_timeout = 2,
    })
    pool:on_alert(hear)
    provoke("a session is leaked", { "connection_leaks" }, while_held(1))
    provoke("the pool fills", { "high_pool_usage" }, while_held(CONNECTIONS - 1))
    provoke("statements are slow", { "slow_queries" }, while_called(slow))
    provoke("statements fail", { "high_query_failure_rate" }, while_called(fail))
    provoke("checkouts are slow", { "slow_checkouts" }, while_called(wait_long))
    provoke("checkouts fail", { "high_checkout_failure_rate" }, while_called(wait_in_vain))
    provoke("the server is killed", { "database_unhealthy", "circuit_breaker_open" }, outage)
    print "all of it once more, within the cooldown"
    local count = #heard
    again()
    print(("  %d alerts"):format(#heard - count))
    judge()
    pool:close()
end

local ok, err = pcall(main, server "start")
server "stop"
assert(ok, err)
print "all eight alerts have fired once, and are resolved"
