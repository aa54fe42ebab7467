-- SQLite's columns as what they are declared as: sqlite_types = "declared". The same values each time.
local weirpool = require "weirpool"
local numeric = weirpool.numeric

local seed

--- A number from `least` to `most`, of a generator of our own: the language's differ.
local function draw(least, most)
    seed = seed * 16807 % 2147483647
    return least + seed % (most - least + 1)
end

local function some(choices)
    return choices[draw(1, #choices)]
end

local function digits(count)
    local text = {}
    for n = 1, count do
        text[n] = draw(n == 1 and 1 or 0, 9)
    end
    return table.concat(text)
end

local function date()
    return ("%04d-%02d-%02d"):format(draw(1, 9999), draw(1, 12), draw(1, 28))
end

local function clock()
    return ("%02d:%02d:%02d%s"):format(draw(0, 23), draw(0, 59), draw(0, 59), some { "", ".5", ".000001" })
end

local function uuid()
    local text = ""
    for n = 1, 8 do
        text = text .. ("%04x"):format(draw(0, 32767)) .. (n > 1 and n < 6 and "-" or "")
    end
    return text
end

-- Each gives a value, and what is read from it, if that is another one.
local kinds = {
    boolean = function()
        return draw(0, 1) == 1
    end,
    date = date,
    time = function()
        return clock() .. some { "", "+05:30", "-03:00:01" }
    end,
    timestamp = function()
        return date() .. " " .. clock()
    end,
    ["timestamp with time zone"] = function()
        local text = date() .. "T" .. clock()
        return text .. "Z", (text:gsub("T", " ")) .. "+00"
    end,
    ["decimal(15, 3)"] = function()
        local text = digits(draw(1, 12)) .. "." .. digits(draw(1, 3)):gsub("0$", "1")
        return numeric(text), text
    end,
    ["decimal text"] = function()
        local text = some { "", "-" } .. digits(draw(16, 60)) .. "." .. digits(draw(1, 20))
        return numeric(text), text
    end,
    json = function()
        return some { "[1, null]", '{"a": "b"}', '"text"', "true" }
    end,
    uuid = function()
        local text = uuid()
        return some { text, text:upper(), (text:gsub("-", "")) .. "" }, text
    end,
}

describe("SQLite's declared types", function()
    local pool

    before_each(function()
        seed = 1
        pool = assert(weirpool.open { url = "sqlite://", max_size = 1, sqlite_types = "declared" })
    end)
    after_each(function()
        pool:close(0)
    end)

    for name, make in pairs(kinds) do
        it("gives back what was written: " .. name, function()
            assert(pool:execute("create table t (id integer primary key, c " .. name .. ")"))
            for _ = 1, 200 do
                local value, wanted = make()
                if wanted == nil then
                    wanted = value
                end
                assert(pool:execute("insert or replace into t values (1, $1)", value))
                for _ = 1, 2 do
                    assert.equal(wanted, pool:fetchval("select c from t where id = $1", 1))
                end
            end
        end)
    end

    it("gives as it is stored what is no such thing, and what is no column's", function()
        assert(pool:execute("create table t (b boolean, d date, n decimal, u uuid)"))
        assert(pool:execute("insert into t values (2, 'soon', 'much', '123'), (null, '2024-02-29', 7, null)"))
        local rows = assert(pool:fetch("select b, d, n, u, n + 1 as one, max(d) over () as last from t"))
        local first, second = rows[1], rows[2]
        assert.same({ 2, "soon", "much", 123 }, { first.b, first.d, first.n, first.u })
        local null = weirpool.null
        assert.same({ null, "2024-02-29", "7", null }, { second.b, second.d, second.n, second.u })
        assert.same({ 8, "soon" }, { second.one, second.last })
    end)

    it("are an option", function()
        local plain = assert(weirpool.open { url = "sqlite://", max_size = 1 })
        assert(plain:execute("create table t (b boolean, n decimal)"))
        assert(plain:execute("insert into t values ($1, $2)", true, numeric("1.50")))
        local row = assert(plain:fetchrow("select * from t"))
        assert.same({ 1, 1.5 }, { row.b, row.n })
        plain:close(0)
        local good, err = pcall(weirpool.open, { url = "sqlite://", sqlite_types = "all" })
        assert.is_false(good)
        assert.matches("sqlite_types=all", tostring(err), 1, true)
    end)
end)
