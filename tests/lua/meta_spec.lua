-- The annotations for language servers tell what is there.
local support = require "support"
local weirpool = require "weirpool"

local file = assert(io.open(support.here .. "/../../lua/weirpool/meta.lua"))
local meta = file:read "*a"
file:close()

local TYPES = { count = "integer", time = "number", ratio = "number", flag = "boolean", text = "string" }

describe("meta.lua", function()
    it("has all options, with their types and defaults", function()
        local class = meta:match("%-%-%-@class weirpool%.Options\n(.-)\n\n")
        for _, option in ipairs(weirpool.options()) do
            local kind = TYPES[option.kind]
            if option.choices then
                kind = '"' .. option.choices:gsub("|", '"|"') .. '"'
            end
            if option.nullable and option.kind ~= "text" then
                kind = kind .. "|false"
            end
            if option.name == "circuit_record" or option.name == "circuit_ignore" then
                kind = kind .. "|fun(err: weirpool.Error): any"
            end
            local initial = option.default
            if type(initial) == "string" then
                initial = '"' .. initial .. '"'
            elseif type(initial) == "number" then
                initial = ("%g"):format(initial)
            elseif option.nullable and option.kind ~= "text" then
                initial = initial == nil and false or initial
            end
            local wanted = ("%s? %s %s"):format(option.name, kind, initial ~= nil and tostring(initial) or "")
            assert.is_truthy(class:find("---@field " .. wanted, 1, true), wanted)
        end
    end)

    it("gives URLs that are taken", function()
        local forms = 0
        for url in meta:match("%-%-%-@field url%? ([^\n]*)"):gmatch '"(.-)"' do
            assert(assert(weirpool.open { url = url, min_size = 0 }):close())
            forms = forms + 1
        end
        assert.equal(4, forms)
    end)

    it("has all methods", function()
        local sessions, streams = require "weirpool.session", require "weirpool.stream"
        for names, class in pairs {
            ["Executor Pool"] = getmetatable(assert(weirpool.open { url = "sqlite://", min_size = 0 })),
            ["Executor Connection"] = sessions.Connection,
            ["Executor Connection Session"] = sessions.Session,
            ["Stream"] = streams.Stream,
            ["CopyOut"] = streams.CopyOut,
            ["Error"] = require "weirpool.error",
        } do
            for name, value in pairs(class) do
                local known = type(value) ~= "function" or name:find "^__" or name == "open"
                for owner in names:gmatch "%a+" do
                    known = known or meta:find(("\nfunction %s:%s("):format(owner, name), 1, true)
                end
                assert.is_truthy(known, names .. ": " .. name)
            end
        end
        for name, value in pairs(weirpool) do
            local form = type(value) == "function" and "function weirpool.%s(" or "---@field %s "
            assert.is_truthy(meta:find("\n" .. form:format(name), 1, true), name)
        end
    end)
end)
