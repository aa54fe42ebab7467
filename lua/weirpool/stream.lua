--- What is read piece by piece, in bounded memory: the rows of a statement, and the chunks of a COPY. Both
--- are for a loop, `for row in session:stream(…) do`, out of which a failure is raised, and for next(), which
--- gives it as nil, err, sqlstate. Nothing is sent before the first is asked for.
local core = require "weirpool.core"
local outcome = require "weirpool.outcome"

local failure = outcome.failure
local flow_next, flow_close = core.flow_next, core.flow_close

local Stream = { __name = "weirpool.Stream" }
Stream.__index = Stream
local CopyOut = { __name = "weirpool.CopyOut" }
CopyOut.__index = CopyOut

--- The end, for whatever reason. What was borrowed goes back.
local function finish(stream)
    stream.over = true
    stream.batch, stream.place = {}, 0
    flow_close(stream.handle)
    local connection = stream.borrowed
    stream.borrowed = nil
    if connection then
        connection:close()
    end
end

--- What flow_next has given: true, there is another piece.
local function took(stream, ok, batch, second, state)
    if ok and batch then
        stream.batch, stream.place = batch, 0
        return true
    end
    finish(stream)
    if not ok then
        error(batch, 0)
    elseif batch == false then
        stream.rows = second
        return false
    end
    stream.err, stream.sqlstate = second, state
    return false
end

--- Asks for the next piece, on a connection that is borrowed for it when the stream is the pool's.
local function ask(stream)
    local on = stream.on
    if stream.lend and not stream.borrowed then
        local err, state
        stream.borrowed, err, state = stream.lend()
        if not stream.borrowed then
            return nil, err, state
        end
    end
    on = stream.borrowed or on
    return flow_next(on.handle, on.host, stream.handle)
end

local function advance(stream)
    if stream.closed then
        core.misuse("the stream has been closed")
    elseif stream.over then
        return false
    end
    stream.batch, stream.place = {}, 0 -- the collector's, while the next one is read
    return took(stream, pcall(ask, stream))
end

--- The next row, or chunk; nil: there is none; nil, err, sqlstate: the stream has failed.
function Stream:next()
    local place = self.place + 1
    local row = self.batch[place]
    if row ~= nil then
        self.place = place
        return row
    elseif advance(self) then
        return self:next()
    end
    return failure(self.err, self.sqlstate)
end

--- The same for a loop, which cannot tell a failure from the end.
function Stream:__call()
    local row = self:next()
    if row == nil and self.err ~= nil then
        error(self.err, 0)
    end
    return row
end

--- Ends it, at once and without waiting. Any number of times.
function Stream:close()
    self.closed = true
    if not self.over then
        finish(self)
    end
    return true
end

function Stream:__close()
    self:close()
end

function Stream:__tostring()
    return getmetatable(self).__name .. (self.over and " (over)" or "")
end

for name, value in pairs(Stream) do
    CopyOut[name] = CopyOut[name] or value
end

--- For a loop: Lua 5.4 closes the fourth value when the loop is left. `on`: a session or connection; with
--- `lend` it is a pool, and that is the function which gives the connection.
local function make(class, on, lend, ...)
    local handle, err, state = core.flow_new(on.handle, on.host, class == CopyOut, ...)
    if not handle then
        return failure(err, state)
    end
    local stream = setmetatable({ handle = handle, on = on, lend = lend, batch = {}, place = 0 }, class)
    return stream, nil, nil, stream
end

return { Stream = Stream, CopyOut = CopyOut, make = make }
