--- COPY from and to what Lua has: strings, files, functions. The steps themselves are the core's.
local core = require "weirpool.core"
local outcome = require "weirpool.outcome"

local failed, failure, hand_on = outcome.failed, outcome.failure, outcome.hand_on

local BLOCK = 65536

local copy = {}

local function method(object, name)
    local kind = type(object)
    if kind == "table" or kind == "userdata" then
        local ok, value = pcall(function()
            return object[name]
        end)
        return ok and value or nil
    end
end

-- ---- in

--- Small pieces as blocks that are worth sending.
local function gathered(source)
    local over = false
    return function()
        local pieces, length = {}, 0
        while not over and length < BLOCK do
            local piece, err, more = source()
            if type(piece) == "string" then
                pieces[#pieces + 1] = piece ~= "" and piece or nil
                length = length + #piece
            elseif piece ~= nil then
                core.misuse("copy_in: a source gives strings, not a " .. type(piece))
            elseif err ~= nil then
                return nil, err, more
            else
                over = true
            end
        end
        return #pieces > 0 and table.concat(pieces) or nil
    end
end

--- A function that gives the next block; nil at the end; nil, err when the source has failed.
local function blocks_of(source)
    if type(source) == "string" then
        return function()
            local block = source
            source = nil
            return block
        end
    elseif type(source) == "function" then
        return gathered(source)
    elseif method(source, "read") then
        return function()
            return source:read(BLOCK)
        end
    end
    local wanted = "a string, an open file or a function that gives strings"
    core.misuse("copy_in takes " .. wanted .. ", not a " .. type(source))
end

local function put_all(connection, blocks)
    local block, err, more = blocks()
    while block do
        local done, problem, state = core.copy_put(connection.handle, connection.host, block)
        if not done then
            return failure(problem, state)
        end
        block, err, more = blocks()
    end
    if err ~= nil then
        return failure(err, more)
    end
    return core.copy_end(connection.handle, connection.host)
end

local function concluded(connection, ok, ...)
    if not ok or failed(...) then
        core.copy_abort(connection.handle)
    end
    return hand_on(ok, ...)
end

local function send(connection, sql, blocks)
    local begun, err, state = core.copy_in(connection.handle, connection.host, sql)
    if not begun then
        return failure(err, state)
    end
    return concluded(connection, pcall(put_all, connection, blocks))
end

--- Gives the number of rows.
function copy.copy_in(connection, sql, source)
    return send(connection, sql, blocks_of(source))
end

-- ---- in, from values

local function quoted(name, what)
    if type(name) ~= "string" or name == "" then
        core.misuse("copy_records: " .. what .. " is a name, not a " .. type(name))
    end
    return '"' .. name:gsub('"', '""') .. '"'
end

local known = { columns = true, schema = true, timeout = true }

local function check_options(options)
    if options ~= nil and type(options) ~= "table" then
        core.misuse("copy_records: a table of options is wanted, not a " .. type(options))
    end
    for name in pairs(options or {}) do
        if not known[name] then
            core.misuse("copy_records: there is no option " .. tostring(name) .. ": columns, schema, timeout")
        end
    end
    return options or {}
end

local function column_names(columns)
    if columns ~= nil and type(columns) ~= "table" then
        core.misuse("copy_records: columns are a list of names, not a " .. type(columns))
    end
    local names = {}
    for n, name in ipairs(columns or {}) do
        names[n] = quoted(name, "a column")
    end
    return table.concat(names, ", ")
end

--- A function that gives the next row; nil at the end; nil, err when that has failed.
local function rows_of(rows)
    if type(rows) == "function" then
        return rows
    elseif type(rows) ~= "table" then
        core.misuse("copy_records takes a list of rows, or a function that gives rows, not a " .. type(rows))
    end
    local number = 0
    return function()
        number = number + 1
        return rows[number]
    end
end

--- The rows as blocks of encoded ones; the block's format comes after it.
local function encoded(connection, encoder, rows)
    local count, over = 100, false -- how many the next block takes
    return function(first)
        local batch = {}
        while not over and #batch < count do
            local row, err, more = rows()
            if row == nil and err ~= nil then
                return nil, err, more
            end
            over = row == nil
            batch[#batch + 1] = row
        end
        if #batch == 0 and not first then
            return nil
        end
        local block, form, state = core.copy_encode(connection.handle, connection.host, encoder, batch)
        if not block then
            return failure(form, state)
        end
        count = math.max(1, math.min(4 * count, math.floor(count * BLOCK / math.max(1, #block))))
        return block, form
    end
end

--- A block that is there already, and those behind it.
local function chain(first, blocks)
    return function()
        local block = first
        first = nil
        if block then
            return block
        end
        local err, more
        block, err, more = blocks()
        if not block then
            return nil, err, more
        end
        return block
    end
end

--- Gives the number of rows. What the values have to be tells the table itself.
function copy.copy_records(connection, table_name, rows, options)
    options = check_options(options)
    local next_row, columns = rows_of(rows), column_names(options.columns)
    local into = quoted(table_name, "the table")
    local schema, bare = table_name:match "^(.*)%.(.*)$"
    if options.schema ~= nil then
        into = quoted(options.schema, "the schema") .. "." .. into
    end
    local left = outcome.clock(options.timeout)
    local like = ("select %s from %s where false"):format(columns == "" and "*" or columns, into)
    local encoder, err, state = core.copy_rows(connection.handle, connection.host, { like, timeout = left() })
    if not encoder then
        if schema and options.schema == nil and err.class == "UndefinedTable" then
            local hint = "a schema is given as such: copy_records(%q, rows, {schema = %q})"
            err.hint = hint:format(bare, schema)
        end
        return failure(err, state)
    end
    local blocks = encoded(connection, encoder, next_row)
    local first, form, more = blocks(true) -- made before the COPY begins, since it tells the format
    if not first then
        return failure(form, more)
    end
    columns = columns == "" and "" or " (" .. columns .. ")"
    local sql = ("copy %s%s from stdin (format %s)"):format(into, columns, form)
    return send(connection, { sql, timeout = left() }, chain(first, blocks))
end

-- ---- out

--- A function that takes a chunk, and gives nil, err when that has failed.
local function writer_of(to)
    if type(to) == "function" then
        return to
    elseif method(to, "write") then
        return function(chunk)
            return to:write(chunk)
        end
    end
    core.misuse("copy_out writes to an open file or a function, not to a " .. type(to))
end

local function write_all(chunks, write)
    for chunk in chunks.next, chunks do
        local first, err, more = write(chunk)
        if failed(first, err) then
            return failure(err, more)
        end
    end
    if chunks.err ~= nil then
        return failure(chunks.err, chunks.sqlstate)
    end
    return chunks.rows
end

local function written(chunks, ...)
    chunks:close()
    return hand_on(...)
end

--- The chunks, of stream.lua; or, with `to`, the number of rows once they are there.
function copy.copy_out(to, chunks, ...)
    if to == nil or not chunks then
        return chunks, ...
    end
    return written(chunks, pcall(write_all, chunks, writer_of(to)))
end

return copy
