--- Circuit breakers: one of one's own, and those of a pool.
local core = require "weirpool.core"
local outcome = require "weirpool.outcome"

local failed, failure = outcome.failed, outcome.failure
local pack, unpack = outcome.pack, outcome.unpack
local Error = core.metatable("error")

--- What one's own and a pool's have alike.
local states = {}

function states:state()
    return core.breaker_state_now(self.handle)
end

function states:snapshot()
    return core.breaker_take_snapshot(self.handle)
end

--- The events since the one of that number.
function states:events(after)
    return core.breaker_events(self.handle, after)
end

for _, name in ipairs { "force_open", "force_close", "disable", "metrics_only", "reset" } do
    local change = core["breaker_" .. name]
    states[name] = function(self)
        change(self.handle)
    end
end

local function class(name, methods)
    local made = { __name = name }
    made.__index = made
    for key, value in pairs(methods) do
        made[key] = value
    end
    return made
end

--- One of a pool's.
local Part = class("weirpool.BreakerPart", states)

function Part:__tostring()
    return ("weirpool.Breaker %s %s"):format(self.name, self:state())
end

local Breaker = class("weirpool.Breaker", states)

-- ---- fallbacks

--- What a fallback's own failure was to stand in for goes with it.
local function with_cause(err, refusal)
    if type(err) == "table" and getmetatable(err) == Error then
        if err ~= refusal and err.cause == nil then
            err.cause = refusal
        end
        return err
    elseif type(err) == "string" then
        return err .. "\nin the fallback for: " .. tostring(refusal)
    end
    return err
end

local function conclude(refusal, ok, ...)
    if not ok then
        error(with_cause((...), refusal), 0)
    elseif failed(...) then
        local err, state = select(2, ...)
        return failure(with_cause(err, refusal), state)
    end
    return ...
end

local function fall_back(fallback, refusal, state)
    if not fallback then
        return failure(refusal, state)
    end
    return conclude(refusal, pcall(fallback, refusal))
end

local function check_function(name, value, optional)
    if type(value) ~= "function" and not (optional and value == nil) then
        core.misuse(name .. ": a function is wanted, not a " .. type(value))
    end
end

-- ---- predicates

--- record and ignore are texts for the core, or functions that get the error.
local function take_predicate(options, name)
    local value = options[name]
    if type(value) == "function" then
        options[name] = nil
        return value
    end
end

--- What functions say of an error: false, it is to be ignored; true, to be recorded; nil, nothing.
local function verdict(ignored, recorded, err)
    if ignored and ignored(err) then
        return false
    elseif recorded and recorded(err) then
        return true
    end
end

-- ---- one of one's own

--- weirpool.breaker
function Breaker.new(options)
    if options ~= nil and type(options) ~= "table" then
        core.misuse("breaker: a table of options is wanted, not a " .. type(options))
    end
    local rest = {}
    for name, value in pairs(options or {}) do
        rest[name] = value
    end
    check_function("fallback", rest.fallback, true)
    local self = { fallback = rest.fallback, name = rest.name }
    rest.fallback = nil
    self.recorded, self.ignored = take_predicate(rest, "record"), take_predicate(rest, "ignore")
    self.handle = core.breaker_new(rest)
    return setmetatable(self, Breaker)
end

--- Leave to make one call; nil, err when it is refused. It ends with record or cancel, or is collected.
function Breaker:acquire()
    return core.breaker_acquire(self.handle)
end

--- The call has ended: with success, or with an error of whatever type.
function Breaker:record(permit, err)
    local judged
    if err ~= nil then
        local ok, answer = pcall(verdict, self.ignored, self.recorded, err)
        if not ok then
            core.breaker_record(self.handle, permit, err)
            error(answer, 0)
        end
        judged = answer
    end
    core.breaker_record(self.handle, permit, err, judged)
end

--- The call was not made.
function Breaker:cancel(permit)
    core.breaker_cancel(self.handle, permit)
end

local function finish(self, permit, ok, ...)
    if not ok then
        local err = ...
        self:record(permit, err == nil and "nil" or err)
        error(err, 0)
    end
    local err = nil
    if failed(...) then
        err = select(2, ...) -- false is one, too
    end
    self:record(permit, err)
    return ...
end

local function call(self, fallback, fn, ...)
    local permit, err, state = self:acquire()
    if not permit then
        return fall_back(fallback, err, state)
    end
    return finish(self, permit, pcall(fn, ...))
end

--- Calls fn(…), and gives what it gave. It fails by raising, or by giving nil and an error.
function Breaker:call(fn, ...)
    check_function("call", fn)
    return call(self, self.fallback, fn, ...)
end

--- A function that does so each time it is called, with a fallback of its own.
function Breaker:wrap(fn, fallback)
    check_function("wrap", fn)
    check_function("wrap", fallback, true)
    return function(...)
        return call(self, fallback or self.fallback, fn, ...)
    end
end

function Breaker:__tostring()
    return ("weirpool.Breaker %s%s"):format(self.name and self.name .. " " or "", self:state())
end

-- ---- those of a pool

local PoolBreaker = class("weirpool.PoolBreaker", {})

--- Leaves the core's lists in a pool's options, and gives what speaks for the functions; nil: there are none.
function PoolBreaker.take_predicates(options)
    local ignored = take_predicate(options, "circuit_ignore")
    local recorded = take_predicate(options, "circuit_record")
    if ignored or recorded then
        return function(err)
            return verdict(ignored, recorded, err)
        end
    end
end

function PoolBreaker.new(handle)
    local function part(name, queries)
        return setmetatable({ name = name, handle = core.pool_breaker(handle, queries) }, Part)
    end
    return setmetatable({
        handle = handle,
        connect = part("connect", false),
        query = part("query", true),
    }, PoolBreaker)
end

--- The state of the one that lets less in.
function PoolBreaker:state()
    return core.pool_breaker_state(self.handle)
end

function PoolBreaker:snapshot()
    return { connect = self.connect:snapshot(), query = self.query:snapshot() }
end

for _, name in ipairs { "force_open", "force_close", "disable", "metrics_only", "reset" } do
    PoolBreaker[name] = function(self)
        self.connect[name](self.connect)
        self.query[name](self.query)
    end
end

local function is_refusal(err)
    return type(err) == "table" and getmetatable(err) == Error and err:is("CircuitOpen")
end

--- A function that calls fn(…), and, when a breaker of the pool's has refused that, fallback(err).
function PoolBreaker:wrap(fn, fallback) -- luacheck: ignore 212
    check_function("wrap", fn)
    check_function("wrap", fallback)
    return function(...)
        local results = pack(pcall(fn, ...))
        local ok, first, second, third = results[1], results[2], results[3], results[4]
        if not ok and is_refusal(first) then
            return fall_back(fallback, first)
        elseif not ok then
            error(first, 0)
        elseif failed(first, second) and is_refusal(second) then
            return fall_back(fallback, second, third)
        end
        return unpack(results, 2, results.n)
    end
end

function PoolBreaker:__tostring()
    return ("weirpool.PoolBreaker connect=%s query=%s"):format(self.connect:state(), self.query:state())
end

return { Breaker = Breaker, PoolBreaker = PoolBreaker }
