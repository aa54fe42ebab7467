--- Where the lines go that pools have to say. They are taken after each call, and given to one function for
--- all pools.
local core = require "weirpool.core"

local log = {}

local levels = {
    debug = core.LOG_DEBUG,
    info = core.LOG_INFO,
    warning = core.LOG_WARNING,
    error = core.LOG_ERROR,
}
local names = {}
for name, level in pairs(levels) do
    names[level] = name
end

local function to_stderr(level, line)
    io.stderr:write("weirpool: ", level, ": ", line, "\n")
end

local sink, least = to_stderr, levels.warning
local pools = setmetatable({}, { __mode = "k" })

function log.emit(level, line)
    if sink and level >= least then
        pcall(sink, names[level] or tostring(level), line) -- what reports must not be what fails
    end
end

--- A new pool: its lines are to have the level that is wanted.
function log.adopt(pool)
    pools[pool] = true
    core.reactor_log_level(pool.handle, least)
end

--- fn(level, line) gets each line of that level ("debug", "info", "warning", "error"; "info" when it is left
--- out) and above. false: nobody does. nil: as at first, warnings and errors go to stderr.
function log.set(fn, level)
    if fn and type(fn) ~= "function" then
        core.misuse("log: a function is wanted, or false, not a " .. type(fn))
    end
    if level ~= nil and not levels[level] then
        core.misuse("log: the levels are debug, info, warning and error")
    end
    if fn == nil then
        sink, least = to_stderr, levels[level or "warning"]
    else
        sink, least = fn, levels[level or "info"]
    end
    for pool in pairs(pools) do
        core.reactor_log_level(pool.handle, least)
    end
end

return log
