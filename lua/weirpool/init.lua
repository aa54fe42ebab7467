--- Weirpool: a database connection pool with a C core, for Lua 5.4 and LuaJIT. The functions and their
--- meaning are described in weirpool/meta.lua, which language servers read.
local swig_type, swig_equals = rawget(_G, "swig_type"), rawget(_G, "swig_equals")
local core = require "weirpool.core"
rawset(_G, "swig_type", swig_type) -- the generated loader sets these two globals
rawset(_G, "swig_equals", swig_equals)
core.own(function() end) -- errors of misuse are blamed on the code outside this folder
local Error = require "weirpool.error"
local log = require "weirpool.log"
local Pool = require "weirpool.pool"

local weirpool = {
    version = core.version(),
    libpq_version = core.libpq_version(),
    sqlite_version = core.sqlite_version(),
    null = core.null(),
    open = Pool.open,
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

--- All rows of one of the core's tables.
local function rows(of)
    local list, row = {}, of(0)
    while row do
        list[#list + 1] = row
        row = of(#list)
    end
    return list
end

function weirpool.options()
    return rows(core.option_table)
end

function weirpool.metrics()
    return rows(core.metric_table)
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
