-- All eight alerts of a pool, provoked on a real PostgreSQL, one after the other: a session is leaked, the
-- pool fills, statements are slow and fail, checkouts are slow and fail, the server is killed and comes back.
-- Each alert fires once, with the numbers that caused it, and is resolved when its cause is gone; the metrics
-- say the same as the alerts, and as the calls have been counted here. Then all of that happens again, within
-- the cooldown: nothing is heard, but from a second pool, to which it happens for the first time. It ends
-- with an error when it was otherwise.
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

-- The pool that is called, what was heard of it, and what became of its calls.
local pool, heard, own

local function use(one)
    pool, heard, own = one.pool, one.heard, one.own
end

local function has(name, resolved)
    for _, alert in ipairs(heard) do
        if alert.type == name and alert.resolved == resolved then
            return true
        end
    end
    return false
end

local DURATION = "db_client_operation_duration_seconds"

local function count(err)
    local class = err:is "DataError" and "DataError" or err.class
    if err:is "CircuitOpen" or err:is "ConnectError" then
        class = "refused"
    end
    own[class] = assert(own[class], err.message) + 1
end

local function ask(sql)
    local value, err = pool:fetchval(sql)
    if err then
        count(err)
    else
        own.well = own.well + 1
    end
    return value
end

--- What a scrape finds: values['weir_queries_total{outcome="failed"}'].
local function metrics()
    local values = {}
    for line in assert(pool:metrics { names = "standard" }):gmatch "[^\n]+" do
        local series, value = line:match "^([^#].*) (%S+)$"
        if series then
            values[series:gsub('db_client_connection_pool_name="[^"]*",?', "")] = tonumber(value)
        end
    end
    return setmetatable(values, { __index = function() return 0 end })
end

local function failed(values, what)
    local function of(outcome)
        return values[("weir_%s_total{outcome=\"%s\"}"):format(what, outcome)]
    end
    return of "failed" + of "timed_out" + of "refused"
end

--- Those above a tenth of a second.
local function longer(values, metric, labels)
    return values[("%s_count{%s}"):format(metric, labels)]
        - values[("%s_bucket{%s%sle=\"0.1\"}"):format(metric, labels, labels == "" and "" or ",")]
end

--- Whether an alert's numbers are those of the metrics, before its cause and now.
local AGREE = {
    connection_leaks = function(alert, before, now)
        return alert.count == now["weir_leaks_total{}"] - before["weir_leaks_total{}"] and alert.count == 1
    end,
    high_pool_usage = function(alert, _, now)
        local used = now['db_client_connection_count{db_client_connection_state="used"}']
        return used == CONNECTIONS - 1 and alert.count >= used
            and alert.total == now["db_client_connection_max{}"]
    end,
    slow_queries = function(alert, before, now)
        local labels = 'db_system_name="postgresql"'
        return alert.value > 0.1 and longer(now, DURATION, labels) > longer(before, DURATION, labels)
    end,
    slow_checkouts = function(alert, before, now)
        local metric = "db_client_connection_wait_time_seconds"
        return alert.value > 0.1 and longer(now, metric, "") > longer(before, metric, "")
    end,
    high_query_failure_rate = function(alert, before, now)
        return alert.count > 0 and alert.count <= failed(now, "queries") - failed(before, "queries")
    end,
    high_checkout_failure_rate = function(alert, before, now)
        return alert.count > 0 and alert.count <= failed(now, "checkouts") - failed(before, "checkouts")
    end,
    database_unhealthy = function(_, _, now)
        return now['weir_health_status{weir_health_status="unhealthy"}'] == 1
    end,
    circuit_breaker_open = function(alert, _, now)
        local series = 'weir_circuit_breaker_state{breaker="%s",weir_circuit_breaker_state="open"}'
        return now[series:format "connect"] + now[series:format "query"] >= alert.value and alert.value >= 1
    end,
}

--- At alerts that have just fired.
local function look(types, before)
    local now, wanted = metrics(), {}
    for _, name in ipairs(types) do
        wanted[name] = true
    end
    for _, alert in ipairs(heard) do
        if wanted[alert.type] then
            assert(AGREE[alert.type](alert, before, now), "the metrics tell another story of " .. alert.type)
            assert(alert.window <= 2 * WINDOW, alert.type .. " is of too long a time")
        end
    end
end

--- The metrics beside what was heard, and what has been counted here.
local function compare()
    local now, fired, active = metrics(), {}, 0
    for name in pairs(AGREE) do
        fired[name] = 0
    end
    for _, alert in ipairs(heard) do
        fired[alert.type] = fired[alert.type] + (alert.resolved and 0 or 1)
        active = active + (alert.resolved and -1 or 1)
    end
    local said = {}
    local function same(what, counted, told)
        assert(counted == told, ("%s: counted were %s, and the metrics have %s"):format(what, counted, told))
        said[#said + 1] = ("%s %d"):format(what, told)
    end
    local failures = DURATION .. '_count{db_system_name="postgresql",error_type="%s"}'
    same("alerts that last", active, now["weir_alerts_active{}"])
    same("statements that succeeded", own.well, now['weir_queries_total{outcome="succeeded"}'])
    same("that failed for their data", own.DataError, now[failures:format "DataError"])
    same("for a lost connection", own.ConnectionLost, now[failures:format "ConnectionLost"])
    same("checkouts that timed out", own.CheckoutTimeout, now['weir_checkouts_total{outcome="timed_out"}'])
    same("that were refused", own.refused, now['weir_checkouts_total{outcome="refused"}'])
    print("  the metrics: " .. table.concat(said, ", "))
    for name in pairs(AGREE) do
        same(name, fired[name], now[('weir_alerts_total{alert="%s"}'):format(name)])
    end
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
    ask "select 1"
    ask "select pg_sleep(0.02)"
end

--- Holds so many connections while fn() runs; for so many seconds each, where that is given.
local function hold(connections, seconds, fn)
    local held = {}
    for i = 1, connections do
        held[i] = assert(pool:session { timeout = seconds })
    end
    fn()
    for _, session in ipairs(held) do
        session:close()
    end
end

local function slow()
    ask "select pg_sleep(0.25)"
end

local function fail()
    assert(not ask "select 1 / 0")
    load()
end

local function wait_long()
    hold(CONNECTIONS, 0.25, function() -- then the pool takes them back
        ask "select 1"
    end)
end

local function wait_in_vain()
    hold(CONNECTIONS, nil, function()
        for _ = 1, 5 do
            local lent, err = pool:connection { checkout_timeout = 0.02 }
            assert(not lent)
            count(err)
        end
    end)
end

local function provoke(what, types, cause)
    print(what)
    local before = metrics()
    cause(types, before)
    until_told(types, true, load)
    compare()
end

local function while_held(connections)
    return function(types, before)
        hold(connections, nil, function()
            until_told(types, false, load)
            look(types, before)
        end)
    end
end

local function while_called(fn)
    return function(types, before)
        until_told(types, false, fn)
        look(types, before)
    end
end

local function outage(types, before)
    server "kill"
    until_told(types, false, function()
        ask "select 1"
        sleep(0.02)
    end)
    look(types, before)
    print "the server comes back"
    server "again"
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
    assert(slowest.statement == "select pg_sleep(?)" and slowest.count > 1)
    assert(#assert(pool:history("active", { since = 10 })) > 0)
end

--- All of it once more on both pools, each cause until the second one has given its alerts.
local function again(first, second)
    local before, silent = first.pool:snapshot(), #first.heard
    local function on_both(fn)
        return function()
            for _, one in ipairs { first, second } do
                use(one)
                fn()
            end
        end
    end
    use(second)
    until_told({ "connection_leaks", "slow_queries", "high_query_failure_rate" }, false, on_both(function()
        hold(1, nil, function()
            slow()
            fail()
            slow() -- so that the pool looks meanwhile
        end)
    end))
    until_told({ "high_pool_usage", "slow_checkouts" }, false, on_both(wait_long))
    until_told({ "high_checkout_failure_rate" }, false, on_both(wait_in_vain))
    server "kill"
    until_told({ "database_unhealthy", "circuit_breaker_open" }, false, on_both(function()
        ask "select 1"
        sleep(0.02)
    end))
    server "again"
    for name in pairs(AGREE) do
        until_told({ name }, true, on_both(load))
    end
    on_both(compare)()
    local now = first.pool:snapshot()
    local function more(name)
        return now[name] - before[name]
    end
    print(("  %d alerts, though %d statements failed, %d checkouts timed out, %d connections leaked;"
        .. " a second pool beside it gave %d"):format(#first.heard - silent, more "queries_failed",
        more "checkouts_timed_out", more "leaks", #second.heard / 2))
    on_both(judge)()
end

local function open(url, name, prints)
    local one = { heard = {} }
    one.own = { well = 0, DataError = 0, ConnectionLost = 0, CheckoutTimeout = 0, refused = 0 }
    one.pool = assert(weirpool.open {
        url = url,
        name = name,
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
    one.pool:on_alert(function(alert)
        one.heard[#one.heard + 1] = alert
        local what = alert.resolved and "resolved" or alert.severity
        if prints then
            print(("  %-9s %s: %s"):format(what, alert.type, alert.message))
        end
    end)
    return one
end

local function main(url)
    weirpool.log(false)
    local shop = open(url, "shop", true)
    use(shop)
    provoke("a session is leaked", { "connection_leaks" }, while_held(1))
    provoke("the pool fills", { "high_pool_usage" }, while_held(CONNECTIONS - 1))
    provoke("statements are slow", { "slow_queries" }, while_called(slow))
    provoke("statements fail", { "high_query_failure_rate" }, while_called(fail))
    provoke("checkouts are slow", { "slow_checkouts" }, while_called(wait_long))
    provoke("checkouts fail", { "high_checkout_failure_rate" }, while_called(wait_in_vain))
    provoke("the server is killed", { "database_unhealthy", "circuit_breaker_open" }, outage)
    print "all of it once more, within the cooldown"
    local other = open(url, "other")
    again(shop, other)
    shop.pool:close()
    other.pool:close()
end

local ok, err = pcall(main, server "start")
server "stop"
assert(ok, err)
print "all eight alerts have fired once, and are resolved"
