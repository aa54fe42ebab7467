--- What a pool lends: a connection in autocommit, or a session, whose statements are in a transaction.
local core = require "weirpool.core"
local copy = require "weirpool.copy"
local outcome = require "weirpool.outcome"
local pipeline = require "weirpool.pipeline"
local streams = require "weirpool.stream"

local arguments, failed, failure = outcome.arguments, outcome.failed, outcome.failure
local session_execute, session_end = core.session_execute, core.session_end
local EXECUTE, FETCH, FETCHROW, FETCHVAL, EXECUTEMANY, SCRIPT = 0, 1, 2, 3, 4, 6

local Connection = { __name = "weirpool.Connection" }
Connection.__index = Connection
local Session = { __name = "weirpool.Session" }
Session.__index = Session
local Transaction = { __name = "weirpool.Transaction" }
Transaction.__index = Transaction

function Connection:execute(...)
    return session_execute(self.handle, self.host, EXECUTE, ...)
end

function Connection:fetch(...)
    return session_execute(self.handle, self.host, FETCH, ...)
end

function Connection:fetchrow(...)
    return session_execute(self.handle, self.host, FETCHROW, ...)
end

function Connection:fetchval(...)
    return session_execute(self.handle, self.host, FETCHVAL, ...)
end

function Connection:executemany(...)
    return session_execute(self.handle, self.host, EXECUTEMANY, ...)
end

--- Any number of commands in one text. Gives the tag of the last one.
function Connection:execute_script(...)
    return session_execute(self.handle, self.host, SCRIPT, ...)
end

--- The rows of a statement one after the other, in the memory of two batches.
function Connection:stream(...)
    return streams.make(streams.Stream, self, nil, ...)
end

Connection.copy_in = copy.copy_in
Connection.copy_records = copy.copy_records

--- The chunks of a COPY … TO STDOUT; with `to`, a file or a function, the number of rows that it got.
function Connection:copy_out(sql, to)
    return copy.copy_out(to, streams.make(streams.CopyOut, self, nil, sql))
end

Connection.pipeline = pipeline

--- Gives it back; what is open is rolled back. Any number of times.
function Connection:close()
    self.returned = true
    core.session_return(self.handle, false)
    return true
end

--- Gives it back to be closed, and replaced when the pool wants another.
function Connection:discard()
    self.returned = true
    core.session_return(self.handle, true)
    return true
end

--- A table: depth, in_transaction, failed, busy, backend (the server's process), age (seconds).
function Connection:inspect()
    return core.session_inspect(self.handle)
end

--- What became of the function in a transaction: commits or rolls back, and hands on.
local function conclude(transaction, ok, ...)
    local over = transaction.ended or transaction.session.returned
    if not over and (not ok or failed(...)) then
        transaction:rollback()
        over = true
    end
    if over then
        return outcome.hand_on(ok, ...)
    end
    local done, err, state = transaction:commit()
    if not done then
        return failure(err, state)
    end
    return ...
end

function Connection:transaction(options, fn)
    options, fn = arguments(options, fn)
    local depth, err, state = core.session_begin(self.handle, options)
    if not depth then
        return failure(err, state)
    end
    local transaction = setmetatable({ session = self, depth = depth }, Transaction)
    if not fn then
        return transaction
    end
    return conclude(transaction, pcall(fn, self))
end

function Connection:__close()
    self:close()
end

function Connection:__tostring()
    local state = self.returned and " (returned)" or ""
    return ("%s of %s%s"):format(getmetatable(self).__name, self.pool.name, state)
end

for name, value in pairs(Connection) do
    Session[name] = Session[name] or value
end

--- What pool:session and pool:run do at the end.
local function commit_session(session)
    return session_end(session.handle, session.host, true, 1)
end

function Session:commit()
    if self.whole then
        core.misuse("run commits when its function has returned: leave that to it, or use session")
    end
    return commit_session(self)
end

function Session:rollback()
    return session_end(self.handle, self.host, false, 1)
end

local function finish(transaction, commit)
    if transaction.ended then
        core.misuse("the transaction has ended")
    end
    transaction.ended = true -- also when that fails
    local session = transaction.session
    local done, err, state = session_end(session.handle, session.host, commit, transaction.depth)
    if done then
        return done
    end
    local info = core.session_inspect(session.handle)
    transaction.ended = not (info and info.depth >= transaction.depth) -- but when that was refused
    return failure(err, state)
end

function Transaction:commit()
    return finish(self, true)
end

function Transaction:rollback()
    return finish(self, false)
end

function Transaction:__close()
    if not self.ended and not self.session.returned then
        finish(self, false)
    end
end

--- A handle that the core has lent, as an object.
local function wrap(class, pool, handle)
    return setmetatable({ handle = handle, pool = pool, host = pool.host, returned = false }, class)
end

return {
    Connection = Connection,
    Session = Session,
    wrap = wrap,
    commit = commit_session,
}
