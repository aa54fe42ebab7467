--- Failures, as the second value that a call returns: nil, err, sqlstate.
local core = require "weirpool.core"

local Error = core.metatable("error")
Error.__index = Error
Error.__name = "weirpool.Error"

local parents -- class -> the one above it, from the core's table; made when it is wanted first
local seconds -- … -> another one above it, for the few that have two

local function family()
    if parents then
        return parents
    end
    -- the core's table leaves out those of PEP 249, on which all others stand
    parents, seconds = { Error = false, InterfaceError = "Error", DatabaseError = "Error" }, {}
    local above, row = {}, 0
    local info = core.error_table(row)
    while info do
        parents[info.name] = info.parent
        seconds[info.name] = info.also
        above[info.parent] = true
        row = row + 1
        info = core.error_table(row)
    end
    for name in pairs(above) do
        if parents[name] == nil then
            parents[name] = "DatabaseError"
        end
    end
    return parents
end

local function is_below(name, class)
    while name do
        if name == class or (seconds[name] and is_below(seconds[name], class)) then
            return true
        end
        name = parents[name]
    end
    return false
end

--- Is it of that class, or of one below it? err:is("IntegrityError") holds for a UniqueViolation.
function Error:is(class)
    if family()[class] == nil then
        core.misuse("there is no class of errors " .. tostring(class))
    end
    return is_below(self.class, class)
end

--- The class above this error's: "IntegrityError" for a UniqueViolation.
function Error:parent()
    return family()[self.class] or nil
end

function Error:__tostring()
    local lines = { self.class .. ": " .. self.message }
    if self.sqlstate then
        lines[1] = lines[1] .. " (SQLSTATE " .. self.sqlstate .. ")"
    end
    if self.detail then
        lines[#lines + 1] = "DETAIL: " .. self.detail
    end
    if self.hint then
        lines[#lines + 1] = "HINT: " .. self.hint
    end
    if self.context then
        lines[#lines + 1] = "CONTEXT: " .. self.context
    end
    if self.note then
        lines[#lines + 1] = "NOTE: " .. self.note
    end
    return table.concat(lines, "\n")
end

function Error.__concat(left, right)
    return tostring(left) .. tostring(right)
end

return Error
