--- A listener: notifications of PostgreSQL's LISTEN and NOTIFY, by a connection of its own.
local core = require "weirpool.core"
local failure = require("weirpool.outcome").failure

local Listener = { __name = "weirpool.Listener" }
Listener.__index = Listener

local function listen(pool, channels, options)
    if type(channels) ~= "string" and type(channels) ~= "table" then
        core.misuse("listen: a channel's name is wanted, or a list of names, not a " .. type(channels))
    end
    local handle, err, state = core.listen(pool.handle, pool.host, channels, options)
    if not handle then
        return failure(err, state)
    end
    return setmetatable({ handle = handle, pool = pool, host = pool.host, closed = false }, Listener)
end

function Listener:get(timeout)
    return core.listener_get(self.handle, self.host, timeout)
end

function Listener:add(channel)
    return core.listener_change(self.handle, self.host, channel, true)
end

function Listener:remove(channel)
    return core.listener_change(self.handle, self.host, channel, false)
end

--- Any number of times.
function Listener:close()
    self.closed = true
    core.listener_close(self.handle)
    return true
end

function Listener:__close()
    self:close()
end

function Listener:__tostring()
    return ("weirpool.Listener of %s%s"):format(self.pool.name, self.closed and " (closed)" or "")
end

return listen
