local support = require "support"
local weirpool = require "weirpool"

local Money = {}
local function money(cents)
    return setmetatable({ cents = cents }, Money)
end
local Set = {}

local function refuse()
    error("nobody has such a value")
end

local CODECS = {
    money = {
        decoder = function(text)
            return money(tonumber((text:gsub("[$.,]", ""))))
        end,
        encoder = function(value)
            return value.cents and ("%d.%02d"):format(math.floor(value.cents / 100), value.cents % 100) or nil
        end,
        metatable = Money,
    },
    ["pg_catalog.json"] = { decoder = function(text)
        return text ~= "null" and { text } or nil
    end },
    jsonb = {
        format = "binary",
        encoder = function(value)
            return "\1[" .. table.concat(value, ",") .. "]"
        end,
        metatable = Set,
    },
    [1700] = { decoder = tonumber }, -- numeric
    ["no.such_type"] = { decoder = refuse },
}

support.each("codecs", function(db)
    it("are checked", function()
        for text, codecs in pairs {
            ["a table is wanted, not a number"] = 7,
            ["a table is wanted, not a function"] = { money = print },
            ["types have names or numbers, not a boolean"] = { [true] = {} },
            ["money: decoder is a function, not a string"] = { money = { decoder = "x" } },
            ["money: it has no decode"] = { money = { decode = print } },
            ["money: encoder and metatable go together"] = { money = { encoder = print } },
            ['money: format is "text" or "binary"'] = { money = { format = "json" } },
            ["two of them write tables of the same metatable"] = {
                money = { encoder = print, metatable = Money }, json = { encoder = print, metatable = Money },
            },
        } do
            support.misuse(text, function() weirpool.open { url = db.url, codecs = codecs } end)
        end
    end)

    if db.name == "sqlite" then
        it("are of no use", function()
            local pool = assert(db.open { codecs = CODECS })
            assert.equal("x", pool:fetchval "select 'x'")
        end)
        return
    end

    it("read and write", function()
        local pool = assert(db.open { codecs = CODECS, max_size = 1 })
        for _ = 1, 2 do
            assert.equal(1234, pool:fetchval("select '12.34'::money").cents)
            assert.equal(1250, pool:fetchval("select $1::money", money(1250)).cents)
            assert.equal(Money, getmetatable(pool:fetchrow("select $1::money as a", money(1)).a))
            local given = weirpool.array { money(1), weirpool.null }
            local array = assert(pool:fetchval("select $1::money[]", given))
            assert.equal(1, array[1].cents)
            assert.equal(weirpool.null, array[2])
            assert.equal(weirpool.null, pool:fetchval "select null::money")
            assert.equal(weirpool.null, pool:fetchval("select $1::money", money(nil)))
            assert.same({ "[1]" }, pool:fetchval "select '[1]'::json")
            assert.equal(weirpool.null, pool:fetchval "select 'null'::json")
            assert.equal(1.5, pool:fetchval "select 1.50")
            assert.equal("\1[1]", pool:fetchval "select '[1]'::jsonb")
            assert.equal("[1, 2]", pool:fetchval("select $1::jsonb::text", setmetatable({ 1, 2 }, Set)))
        end
        local many, total = {}, 0
        for n = 1, 500 do
            many[n] = money(n)
        end
        for _, value in ipairs(assert(pool:fetchval("select $1::money[]", weirpool.array(many)))) do
            total = total + value.cents
        end
        assert.equal(125250, total)
        for row in pool:stream { "select n::money as a from generate_series(1, 3) n", prefetch = 2 } do
            assert.equal(0, row.a.cents % 100)
        end
        assert(pool:execute "create table prices (a int, b money)")
        assert.equal(2, pool:copy_records("prices", { { 1, money(150) }, { 2, weirpool.null } }))
        assert.equal("$1.50", pool:fetchval "select b::text from prices where a = 1")
        assert.equal(150, pool:transaction { "select b from prices where a = 1" }[1][1].b.cents)
        assert.equal(5, pool:session(function(session)
            return session:pipeline(function(p)
                return p:fetchval("select $1::money", money(5)):get().cents
            end)
        end))
        local value, err = pool:fetchval("select $1::int", money(1))
        assert.is_nil(value)
        assert.matches("parameter $1: integer takes no value of that codec", err.message, 1, true)
        support.misuse("cannot be the value", function() pool:fetchval("select $1", setmetatable({}, {})) end)
        support.misuse("jsonb wants the binary form", function()
            pool:fetch "select '[1]'::jsonb, '1'::json"
        end)
        assert.equal(1, pool:fetchval "select 1")
        assert.equal(0, pool:snapshot().active)
    end)

    it("may fail", function()
        local problem = { "mine" }
        local function fail()
            error(problem)
        end
        local pool = assert(db.open { max_size = 1, codecs = {
            money = { decoder = fail, encoder = fail, metatable = Money },
            json = { encoder = function() return 7 end, metatable = Set },
        } })
        for _, method in ipairs { "fetch", "fetchrow", "fetchval" } do
            for _, sql in ipairs { "select '1'::money", "select $1::money", "select array['1'::money]" } do
                local ok, err = pcall(function()
                    if sql:find("$1", 1, true) then
                        pool[method](pool, sql, money(1))
                    else
                        pool[method](pool, sql)
                    end
                end)
                assert.is_false(ok)
                assert.equal(problem, err)
            end
        end
        support.misuse("the encoder for json gives a string or nil, not a number", function()
            pool:fetch("select $1::json", setmetatable({}, Set))
        end)
        assert.equal(1, pool:execute "select '1'::money")
        assert.equal(1, pool:fetchval "select 1")
        assert.same({ 1, 0 }, { pool:snapshot().size, pool:snapshot().active })
    end)

    it("only write in text mode", function()
        local pool = assert(db.open { codecs = CODECS, statement_cache_size = 0 })
        assert.equal("$1.50", pool:fetchval("select $1::money::text", money(150)))
        assert.equal("$1.50", pool:fetchval "select '1.50'::money")
    end)
end)
