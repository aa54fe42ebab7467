--- Types whose values are read and written by functions of the user's: weirpool.open { codecs = … }.
local core = require "weirpool.core"

local Codecs = {}
Codecs.__index = Codecs

local known = { decoder = "function", encoder = "function", metatable = "table", format = "string" }

local function check(name, codec)
    if type(name) ~= "string" and type(name) ~= "number" then
        core.misuse("codecs: types have names or numbers, not a " .. type(name))
    elseif type(codec) ~= "table" then
        core.misuse(("codecs: %s: a table is wanted, not a %s"):format(name, type(codec)))
    end
    for field, value in pairs(codec) do
        local wanted = known[field]
        if not wanted then
            local text = "codecs: %s: it has no %s; decoder, encoder, metatable and format are known"
            core.misuse(text:format(name, tostring(field)))
        elseif type(value) ~= wanted then
            core.misuse(("codecs: %s: %s is a %s, not a %s"):format(name, field, wanted, type(value)))
        end
    end
    if (codec.encoder == nil) ~= (codec.metatable == nil) then
        core.misuse(("codecs: %s: encoder and metatable go together"):format(name))
    elseif codec.format ~= nil and codec.format ~= "text" and codec.format ~= "binary" then
        core.misuse(('codecs: %s: format is "text" or "binary"'):format(name))
    end
end

--- What the core calls for a value of the type: its text, or its binary form, becomes the value of the cell.
function Codecs:decode(number, data, binary)
    local codec = self.list[number]
    if binary ~= codec.binary then
        core.misuse(codec.type .. " wants the binary form, but the results came as text: another column of "
            .. "the statement has no binary form, or statement_cache_size is 0")
    elseif not codec.decoder then
        return data
    end
    local value = codec.decoder(data)
    return value == nil and core.null() or value
end

--- … and for a table that is a parameter: the number of the codec that writes it, its form, what it gave.
function Codecs:encode(value, parameter)
    local number = self.encoders[getmetatable(value)]
    if not number then
        return nil
    end
    local text = self.list[number].encoder(value)
    if text == nil or text == core.null() then
        return number
    elseif type(text) ~= "string" then
        local message = "parameter %d: the encoder for %s gives a string or nil, not a %s"
        core.misuse(message:format(parameter, self.list[number].type, type(text)))
    end
    return number, self.list[number].binary, text
end

--- nil: there are none.
return function(given)
    if given == nil then
        return nil
    elseif type(given) ~= "table" then
        core.misuse("codecs: a table is wanted, not a " .. type(given))
    end
    local codecs = setmetatable({ list = {}, encoders = {} }, Codecs)
    for name, codec in pairs(given) do
        check(name, codec)
        local number = #codecs.list + 1
        codecs.list[number] = {
            type = type(name) == "number" and ("%d"):format(name) or name,
            binary = codec.format == "binary",
            decoder = codec.decoder,
            encoder = codec.encoder,
        }
        if codec.metatable then
            if codecs.encoders[codec.metatable] then
                core.misuse("codecs: two of them write tables of the same metatable: keep one")
            end
            codecs.encoders[codec.metatable] = number
        end
    end
    return codecs
end
