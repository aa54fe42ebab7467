--- How functions of this package tell what became of them, and take what they are to do.
local core = require "weirpool.core"

local outcome = {}

--- A failure as values. LuaJIT's assert raises its last argument, unless the second one is a string: so that
--- is the error object, too.
function outcome.failure(err, state)
    return nil, err, state
end
if _VERSION == "Lua 5.1" then
    function outcome.failure(err, state)
        return nil, err, state, err
    end
end

--- nil and something: how a function says that it has failed.
function outcome.failed(first, second)
    return first == nil and second ~= nil
end

--- What pcall gave, once what was to be done in any case has been done.
function outcome.hand_on(ok, ...)
    if not ok then
        error((...), 0)
    end
    return ...
end

--- (options, fn), (options), (fn), ()
function outcome.arguments(options, fn)
    if type(options) == "function" and fn == nil then
        return nil, options
    end
    if fn ~= nil and type(fn) ~= "function" then
        core.misuse("a function is wanted, not a " .. type(fn))
    end
    return options, fn
end

--- A copy of a table of options with one of them replaced, or taken out. No table: as it is.
function outcome.with(options, name, value)
    if type(options) ~= "table" then
        return options
    end
    local result = {}
    for key, given in pairs(options) do
        result[key] = given
    end
    result[name] = value
    return result
end

--- What is left of a time-out as often as it is asked; what is no number stays as it is.
function outcome.clock(timeout)
    if type(timeout) ~= "number" then
        return function()
            return timeout
        end
    end
    local retry = core.retry_new(nil, timeout)
    return function()
        return core.retry_left(retry)
    end
end

function outcome.pack(...)
    return { n = select("#", ...), ... }
end

outcome.unpack = table.unpack or unpack -- luacheck: ignore 113

return outcome
