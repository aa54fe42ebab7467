--- The pool.
local breakers = require "weirpool.breaker"
local core = require "weirpool.core"
local copy = require "weirpool.copy"
local listen = require "weirpool.listener"
local log = require "weirpool.log"
local new_codecs = require "weirpool.codec"
local outcome = require "weirpool.outcome"
local sessions = require "weirpool.session"
local streams = require "weirpool.stream"

local Connection, Session, wrap = sessions.Connection, sessions.Session, sessions.wrap
local arguments, failed, failure = outcome.arguments, outcome.failed, outcome.failure
local pack, unpack, with = outcome.pack, outcome.unpack, outcome.with
local pool_execute = core.pool_execute
local Error, null = core.metatable("error"), core.null()
local EXECUTE, FETCH, FETCHROW, FETCHVAL, EXECUTEMANY, EITHER, SCRIPT = 0, 1, 2, 3, 4, 5, 6

local Pool = { __name = "weirpool.Pool" }
Pool.__index = Pool

--- Runs the hook of a new connection. Never raises.
local function run_init(pool, init, handle)
    local connection = wrap(Connection, pool, handle)
    local ok, first, second = pcall(init, connection)
    if ok and not failed(first, second) then
        connection:close()
        return
    end
    local why = tostring(ok and second or first)
    connection.returned = true
    core.session_return(handle, true, why)
    log.emit(core.LOG_ERROR, pool.name .. ": init has failed: " .. why)
end

--- An alert has fired, or is resolved. Never raises.
local function tell(pool, alert)
    for _, callback in ipairs(pool.callbacks) do
        local own = {}
        for name, value in pairs(alert) do
            own[name] = value
        end
        local ok, err = pcall(callback, own)
        if not ok then
            log.emit(core.LOG_ERROR, pool.name .. ": a callback for alerts has failed: " .. tostring(err))
        end
    end
end

--- What the predicates say of what a statement has failed with. Never raises.
local function judge(pool, predicates, err)
    local ok, said = pcall(predicates, err)
    if ok then
        return said
    end
    log.emit(core.LOG_ERROR, pool.name .. ": circuit_ignore or circuit_record has failed: " .. tostring(said))
end

--- The function that the core calls, on the caller's own coroutine, for what comes up while a call runs.
local function new_host(pool, init, codecs, on_notice, predicates)
    return function(what, a, b, c)
        if what == "log" then
            log.emit(a, b)
        elseif what == "decode" then
            return codecs:decode(a, b, c)
        elseif what == "encode" then
            return codecs:encode(a, b)
        elseif what == "notice" then
            local ok, err = pcall(on_notice, a)
            if not ok then
                log.emit(core.LOG_ERROR, pool.name .. ": on_notice has failed: " .. tostring(err))
            end
        elseif what == "judge" then
            return judge(pool, predicates, a)
        elseif what == "alert" then
            tell(pool, a)
        elseif what == "init" then
            run_init(pool, init, a)
        end
    end
end

local function hook(options, name)
    local value = options[name]
    options[name] = nil
    if value ~= nil and type(value) ~= "function" then
        core.misuse(name .. ": a function is wanted, not a " .. type(value))
    end
    return value
end

--- weirpool.open
function Pool.open(options)
    if type(options) == "string" then
        options = { url = options }
    elseif type(options) ~= "table" then
        core.misuse("open: a table of options is wanted, or a URL, not a " .. type(options))
    end
    local rest = {}
    for name, value in pairs(options) do
        rest[name] = value
    end
    local init, setup, on_notice = hook(rest, "init"), hook(rest, "setup"), hook(rest, "on_notice")
    local pool = setmetatable({ setup = setup, name = "new pool", callbacks = {} }, Pool)
    local codecs = new_codecs(rest.codecs)
    rest.codecs = codecs and codecs.list
    local predicates = breakers.PoolBreaker.take_predicates(rest)
    pool.host = new_host(pool, init, codecs, on_notice, predicates)
    local handle, err, state = core.open(rest, pool.host, init ~= nil, on_notice ~= nil, predicates ~= nil)
    if not handle then
        return failure(err, state)
    end
    pool.handle = handle
    pool.name = core.pool_name(handle)
    pool.url = core.pool_url(handle)
    pool.database_system = core.pool_database_system(handle)
    pool.breaker = breakers.PoolBreaker.new(handle)
    log.adopt(pool)
    return pool
end

--- What a connection's setup has made of it: the connection, or nothing.
local function set_up(pool, session)
    local ok, first, second, third = pcall(pool.setup, session)
    if ok and not failed(first, second) then
        local ready
        ready, second, third = core.session_ready(session.handle)
        if ready then
            return session
        end
    end
    session:discard()
    if not ok then
        error(first, 0)
    end
    return failure(second, third)
end

--- call: it is for one call of the pool's own, whose time-out options.timeout is. retry: whose attempt it is.
local function check_out(pool, class, options, call, retry)
    local handle, err, state = core.pool_acquire(pool.handle, pool.host, class == Session, options,
        pool.setup ~= nil, call, retry)
    if not handle then
        return failure(err, state)
    end
    local session = wrap(class, pool, handle)
    if pool.setup then
        return set_up(pool, session)
    end
    return session
end

local function give_back(session, ...)
    session:close()
    return outcome.hand_on(...)
end

--- A call on a connection that is borrowed for it, with a time-out over all of it.
local function borrowed(pool, timeout, fn)
    local connection, err, state = check_out(pool, Connection, { timeout = timeout }, true)
    if not connection then
        return failure(err, state)
    end
    return give_back(connection, pcall(fn, connection))
end

local function timeout_of(options)
    if type(options) == "table" then
        return options.timeout
    end
end

--- The same for a method of connections whose first argument is a statement.
local function through(pool, method, sql, ...)
    local rest = pack(...)
    return borrowed(pool, timeout_of(sql), function(connection)
        return connection[method](connection, sql, unpack(rest, 1, rest.n))
    end)
end

--- A statement of a pool with a setup hook. Connections know no readonly; transactions do.
local function through_setup(pool, method, sql, ...)
    local readonly = type(sql) == "table" and sql.readonly
    if not readonly then
        return through(pool, method, with(sql, "readonly"), ...)
    end
    local rest = pack(...)
    return borrowed(pool, sql.timeout, function(connection)
        return connection:transaction({ readonly = readonly }, function()
            return connection[method](connection, with(sql, "readonly"), unpack(rest, 1, rest.n))
        end)
    end)
end

local function statement(method, shape)
    local way = shape < EXECUTEMANY and through_setup or through -- the others have no readonly
    return function(self, ...)
        if self.setup then
            return way(self, method, ...)
        end
        return pool_execute(self.handle, self.host, shape, ...)
    end
end

Pool.execute = statement("execute", EXECUTE)
Pool.fetch = statement("fetch", FETCH)
Pool.fetchrow = statement("fetchrow", FETCHROW)
Pool.fetchval = statement("fetchval", FETCHVAL)
Pool.executemany = statement("executemany", EXECUTEMANY)
Pool.execute_script = statement("execute_script", SCRIPT)

--- As Connection.stream, on a connection that is borrowed until the end, or close().
local function lender(pool, timeout)
    return function()
        return check_out(pool, Connection, { timeout = timeout }, true)
    end
end

function Pool:stream(...)
    return streams.make(streams.Stream, self, lender(self), ...)
end

function Pool:copy_in(sql, source)
    return through(self, "copy_in", sql, source)
end

function Pool:copy_records(table_name, rows, options)
    return borrowed(self, timeout_of(options), function(connection)
        return connection:copy_records(table_name, rows, options)
    end)
end

function Pool:copy_out(sql, to)
    return copy.copy_out(to, streams.make(streams.CopyOut, self, lender(self, timeout_of(sql)), sql))
end

--- The statements of a transaction on a connection that had its setup, one after the other.
local function each_in_turn(connection, statements, timeout)
    local answers = {}
    for i, item in ipairs(statements) do
        local list = type(item) == "table" and item or { item }
        if type(list[1]) ~= "string" then
            local text = "transaction: statement %d is no text, nor a list of a text and its parameters"
            core.misuse(text:format(i))
        end
        local given, err, state = core.session_execute(connection.handle, connection.host, EITHER,
            { list[1], timeout = timeout }, unpack(list, 2, list.n or #list))
        if given == nil then
            return failure(err, state)
        end
        answers[i] = given
    end
    return answers
end

--- Statements in a transaction of their own, sent as a whole in one round trip. Each is a text, or a list of
--- a text and its parameters.
function Pool:transaction(statements, options)
    if not self.setup then
        return core.pool_transaction(self.handle, self.host, statements, options)
    elseif type(statements) ~= "table" then
        core.misuse("transaction: a list of statements is wanted, not a " .. type(statements))
    end
    local timeout = timeout_of(options)
    return borrowed(self, timeout, function(connection)
        return connection:transaction(with(options, "timeout"), function()
            return each_in_turn(connection, statements, timeout)
        end)
    end)
end

--- What became of the function of pool:session, or pool:run.
local function conclude(session, ok, ...)
    if not ok or failed(...) or session.returned then
        return give_back(session, ok, ...)
    end
    local ended, done, err, state = pcall(sessions.commit, session) -- Ctrl-C may end the wait
    session:close()
    if not ended then
        error(done, 0)
    elseif not done then
        return failure(err, state)
    end
    return ...
end

function Pool:session(options, fn)
    options, fn = arguments(options, fn)
    local session, err, state = check_out(self, Session, options)
    if not session then
        return failure(err, state)
    elseif not fn then
        return session
    end
    return conclude(session, pcall(fn, session))
end

--- A whole transaction. options: its session's.
local function attempt(pool, options, retry, fn)
    local session, err, state = check_out(pool, Session, options, false, retry)
    if not session then
        return failure(err, state)
    end
    session.whole = true
    core.retry_admit(retry, session.handle)
    return conclude(session, pcall(fn, session))
end

--- The pause before the next attempt; nil: there is to be none.
local function pause_after(retry, ok, first, second)
    local err = first
    if ok then
        err = failed(first, second) and second
    end
    if type(err) ~= "table" or getmetatable(err) ~= Error then
        return nil
    end
    local pause, note = core.retry_next(retry, err), core.retry_note(retry)
    if note ~= "" then
        err.note = note
    end
    return pause
end

function Pool:run(options, fn)
    options, fn = arguments(options, fn)
    if not fn then
        core.misuse("run: a function is wanted")
    elseif options ~= nil and type(options) ~= "table" then
        core.misuse("run: a table of options is wanted, not a " .. type(options))
    end
    options = options or {}
    local retry = core.retry_new(options.retries, options.timeout)
    local own = with(with(options, "retries"), "timeout")
    while true do
        local results = pack(pcall(attempt, self, own, retry, fn))
        local pause = pause_after(retry, results[1], results[2], results[3])
        if not pause then
            if not results[1] then
                error(results[2], 0)
            end
            return unpack(results, 2, results.n)
        end
        local slept, err, state = core.pool_sleep(self.handle, self.host, pause)
        if not slept then
            return failure(err, state)
        end
    end
end

--- channels: a name, or a list of names. options: max_queued, heartbeat.
function Pool:listen(channels, options)
    return listen(self, channels, options)
end

function Pool:connection(options, fn)
    options, fn = arguments(options, fn)
    local connection, err, state = check_out(self, Connection, options)
    if not connection then
        return failure(err, state)
    elseif not fn then
        return connection
    end
    return give_back(connection, pcall(fn, connection))
end

--- grace: seconds for those who hold a connection; false: for ever; nil: the option close_timeout.
function Pool:close(grace)
    return core.pool_close(self.handle, self.host, grace)
end

--- As close, but whoever waits for a connection already is served, too.
function Pool:drain(grace)
    return core.pool_drain(self.handle, self.host, grace)
end

function Pool:closed()
    return core.pool_closed(self.handle)
end

--- nil: as it is.
function Pool:resize(min_size, max_size)
    return core.pool_resize(self.handle, min_size, max_size)
end

function Pool:expire()
    return core.pool_expire(self.handle)
end

--- What each option is in this pool, wherever it has come from; false: none.
function Pool:options()
    local options, count, row = {}, 1, core.option_table(0)
    while row do
        local value = core.pool_option(self.handle, row.name)
        options[row.name] = value ~= null and value
        count, row = count + 1, core.option_table(count)
    end
    return options
end

function Pool:snapshot()
    core.reactor_dispatch(self.handle)
    return core.pool_snapshot(self.handle)
end

--- options: format, names.
function Pool:metrics(options)
    return core.metrics_render(self.handle, options)
end

function Pool:holders(min_age)
    core.reactor_dispatch(self.handle)
    return core.pool_holders(self.handle, self.host, min_age)
end

--- How the pool is, as it knows without asking the server.
function Pool:health()
    core.reactor_dispatch(self.handle)
    return core.pool_health(self.handle, self.host, false)
end

--- Asks the server, as a caller's statement does, and gives health().
function Pool:check_health(options)
    if options ~= nil and type(options) ~= "table" then
        core.misuse("check_health: a table of options is wanted, not a " .. type(options))
    end
    for name in pairs(options or {}) do
        if name ~= "timeout" then
            core.misuse("check_health: unknown option " .. tostring(name) .. ": it takes timeout")
        end
    end
    core.reactor_dispatch(self.handle) -- a call that is refused drives nothing, the probe neither
    return core.pool_health(self.handle, self.host, true, options and options.timeout)
end

function Pool:health_history(after)
    core.reactor_dispatch(self.handle)
    return core.health_history(self.handle, self.host, after)
end

--- Has callback(alert) called when an alert fires, and when it is resolved, in a call of the pool's.
function Pool:on_alert(callback)
    if type(callback) ~= "function" then
        core.misuse("on_alert: a function is wanted, not a " .. type(callback))
    end
    self.callbacks[#self.callbacks + 1] = callback
end

--- active: nil or true: those that are not resolved; false: all that are kept.
function Pool:alerts(active)
    core.reactor_dispatch(self.handle)
    return core.pool_alerts(self.handle, self.host, active ~= false)
end

function Pool:alert_history()
    return self:alerts(false)
end

function Pool:slow_queries()
    core.reactor_dispatch(self.handle)
    return core.pool_slow_queries(self.handle, self.host)
end

--- options: since (seconds; false: all), step (1, 10 or 60 seconds).
function Pool:history(metric, options)
    local since, step = 600, nil
    if options ~= nil and type(options) ~= "table" then
        core.misuse("history: a table of options is wanted, not a " .. type(options))
    elseif options then
        since, step = options.since == nil and since or options.since or nil, options.step or nil
    end
    for name in pairs(options or {}) do
        if name ~= "since" and name ~= "step" then
            core.misuse("history: unknown option " .. tostring(name) .. ": it takes since and step")
        end
    end
    core.reactor_dispatch(self.handle)
    return core.pool_history(self.handle, self.host, metric, since, step)
end

function Pool:__close()
    self:close()
end

function Pool:__tostring()
    return "weirpool.Pool " .. self.name
end

return Pool
