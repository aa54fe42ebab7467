--- Weirpool: a database connection pool with a C core, for Lua 5.4 and LuaJIT. The functions and their
--- meaning are described in weirpool/meta.lua, which language servers read.
local swig_type, swig_equals = rawget(_G, "swig_type"), rawget(_G, "swig_equals")
local core = require "weirpool.core"
rawset(_G, "swig_type", swig_type) -- the generated loader sets these two globals
rawset(_G, "swig_equals", swig_equals)
core.own(function() end) -- errors of misuse are blamed on the code outside this folder
local Error = require "weirpool.error"
local log = require "weirpool.log"
local Breaker = require("weirpool.breaker").Breaker
local Pool = require "weirpool.pool"

local weirpool = {
    version = core.version(),
    libpq_version = core.libpq_version(),
    sqlite_version = core.sqlite_version(),
    content_types = {
        prometheus = core.WEIR_CONTENT_TYPE_PROMETHEUS,
        openmetrics = core.WEIR_CONTENT_TYPE_OPENMETRICS,
    },
    null = core.null(),
    open = Pool.open,
    breaker = Breaker.new,
    fingerprint = core.fingerprint,
    log = log.set,
    sqlite_adopt = function(path)
        return core.sqlite_adopt(path) == 0
    end,
}

--- A string that is to be sent as another thing than text.
local function wrapper(kind, name)
    local class = core.metatable(kind)
    class.__name = name
    function class:__tostring()
        return self[1]
    end
    function class:__len()
        return #self[1]
    end
    return class
end
local Bytes, Numeric = wrapper("bytes", "weirpool.Bytes"), wrapper("numeric", "weirpool.Numeric")

function weirpool.bytes(text)
    if type(text) ~= "string" then
        core.misuse("bytes: a string is wanted, not a " .. type(text))
    end
    return setmetatable({ text }, Bytes)
end

local function is_decimal(text)
    local digits = text:gsub("[eE][+-]?%d+$", ""):match("^-?([%d.]+)$")
    return digits and digits:find("%d") and not digits:find("%..*%.")
        or text == "NaN"
        or text:find("^-?Infinity$")
end

function weirpool.numeric(text)
    if type(text) ~= "string" or not is_decimal(text) then
        core.misuse('numeric: a string with a decimal is wanted, as "-12.50", "1e-9", "NaN", "Infinity"')
    end
    return setmetatable({ text }, Numeric)
end

local Array, Range = core.metatable("array"), core.metatable("range")
Array.__name, Range.__name = "weirpool.Array", "weirpool.Range"

function Range:__tostring()
    if self.empty then
        return "empty"
    end
    local left, right = self.lower_inc and "[" or "(", self.upper_inc and "]" or ")"
    local lower, upper = self.lower, self.upper
    lower, upper = lower == nil and "" or tostring(lower), upper == nil and "" or tostring(upper)
    return left .. lower .. "," .. upper .. right
end

--- A table as an array: {1, 2}, {{1, 2}, {3, 4}}; weirpool.null is NULL, and so is nil up to the field n.
function weirpool.array(list)
    if type(list) ~= "table" then
        core.misuse("array: a table is wanted, not a " .. type(list))
    end
    local copy = {}
    for key, value in pairs(list) do
        copy[key] = value
    end
    return setmetatable(copy, Array)
end

local range_fields = { lower = true, upper = true, lower_inc = true, upper_inc = true, empty = true }

--- A range: {lower =, upper =, lower_inc = true, upper_inc = false, empty = false}; no bound is no end there.
function weirpool.range(given)
    if type(given) ~= "table" then
        core.misuse("range: a table is wanted, not a " .. type(given))
    end
    local range = { lower_inc = true, upper_inc = false, empty = false }
    for key, value in pairs(given) do
        if not range_fields[key] then
            local known = "; lower, upper, lower_inc, upper_inc and empty are known"
            core.misuse("range: it has no " .. tostring(key) .. known)
        end
        range[key] = value
    end
    range.lower_inc = range.lower_inc and range.lower ~= nil
    range.upper_inc = range.upper_inc and range.upper ~= nil
    return setmetatable(range, Range)
end

--- All rows of one of the core's tables.
local function rows(of)
    local list, row = {}, of(0)
    while row do
        list[#list + 1] = row
        row = of(#list)
    end
    return list
end

--- The environment variables of an option, or of "url".
local function variables(option)
    local names, name = {}, core.option_variable(option, 0)
    while name do
        names[#names + 1] = name
        name = core.option_variable(option, #names)
    end
    return names
end

function weirpool.options()
    local options = rows(core.option_table)
    for _, option in ipairs(options) do
        option.variables = variables(option.name)
    end
    return options
end

--- The options of weirpool.breaker, beside record and ignore as functions, and fallback.
function weirpool.breaker_options()
    return rows(core.breaker_option_table)
end

function weirpool.metrics()
    return rows(core.metric_table)
end

--- The metrics of all pools of this process, as text; options: format, names.
function weirpool.exposition(options)
    return core.metrics_render(nil, options)
end

--- The upper bounds of a snapshot's buckets, in seconds; the last is infinite.
function weirpool.buckets()
    local bounds = {}
    for n = 1, core.WEIR_HISTOGRAM_BUCKETS do
        bounds[n] = core.histogram_bound(n - 1)
    end
    return bounds
end

function weirpool.is_error(value)
    return type(value) == "table" and getmetatable(value) == Error
end

return weirpool
