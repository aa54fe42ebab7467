local support = require "support"
local weirpool = require "weirpool"
local null = weirpool.null

local function kind(value)
    return math.type and math.type(value) or type(value)
end

support.each("values", function(db)
    local pool
    before_each(function()
        pool = assert(db.open())
        local t = db.types
        local columns = ("n integer, i %s, r %s, t text, b %s"):format(t.integer, t.real, t.bytes)
        assert(pool:execute("create table v (" .. columns .. ")"))
    end)

    local function stored(column, value)
        assert(pool:execute("delete from v"))
        assert.equal(1, assert(pool:execute("insert into v (" .. column .. ") values ($1)", value)))
        return pool:fetchval("select " .. column .. " from v")
    end

    it("keeps integers", function()
        for _, value in ipairs { 0, 1, -1, 2147483648, -9007199254740992 } do
            local back = stored("i", value)
            assert.equal(value, back)
            assert.equal(kind(1), kind(back))
        end
    end)

    it("keeps all 64 bits", function()
        local huge = "9007199254740993" -- 2^53 + 1
        if math.type then
            assert.equal(9007199254740993, stored("i", 9007199254740993))
            assert.equal(math.mininteger, stored("i", math.mininteger))
            assert.equal(math.maxinteger, stored("i", math.maxinteger))
        else
            assert.equal(huge, stored("i", weirpool.numeric(huge)))
            local wide = loadstring("return 9007199254740993LL, -9223372036854775807LL - 1, 5ULL")
            local a, b, c = wide()
            assert.equal(huge, stored("i", a))
            assert.equal("-9223372036854775808", stored("i", b))
            assert.equal(5, stored("i", c))
        end
    end)

    it("keeps floats", function()
        for _, value in ipairs { 0.5, -1.25e-300, 1e300, 0.1 } do
            assert.equal(value, stored("r", value))
        end
        assert.equal(2.0, stored("r", 2.0))
    end)

    it("keeps text, with its zero bytes only as bytes", function()
        assert.equal("", stored("t", ""))
        assert.equal("Grüße ✓ 'x' $1", stored("t", "Grüße ✓ 'x' $1"))
        local all = {}
        for byte = 0, 255 do
            all[#all + 1] = string.char(byte)
        end
        local text = table.concat(all)
        assert.equal(text, stored("b", weirpool.bytes(text)))
        assert.equal("", stored("b", weirpool.bytes("")))
        assert.equal(text, tostring(weirpool.bytes(text)))
        assert.equal(3, #weirpool.bytes("abc")[1])
    end)

    it("has null for NULL, and nil for no row", function()
        assert.equal(null, stored("t", null))
        assert.equal(null, stored("t", nil))
        assert.equal(null, pool:fetchrow("select t from v").t)
        local value, err = pool:fetchval("select t from v where 1 = 0")
        assert.is_nil(value)
        assert.is_nil(err)
        local row, problem = pool:fetchrow("select t from v where 1 = 0")
        assert.is_nil(row)
        assert.is_nil(problem)
        assert.same({}, pool:fetch("select t from v where 1 = 0"))
    end)

    it("counts parameters that end with nil", function()
        assert.equal(1, assert(pool:execute("insert into v (n, t, r) values ($1, $2, $3)", 1, nil, nil)))
        local row = assert(pool:fetchrow("select n, t, r from v"))
        assert.equal(1, row.n)
        assert.equal(null, row.t)
        assert.equal(null, row[3])
    end)

    it("takes integers as digits", function()
        assert.equal(7, stored("i", weirpool.numeric("7")))
        assert.equal("-7", tostring(weirpool.numeric("-7")))
    end)

    it("takes booleans", function()
        local value = assert(pool:fetchval("select count(*) from (select 1 as x) as one where $1", true))
        assert.equal(1, value)
    end)

    it("gives rows by name and by position", function()
        local sets = { { 1, "one" }, { 2, "two" }, { n = 2, 3 } }
        assert(pool:executemany("insert into v (n, t) values ($1, $2)", sets))
        local rows = assert(pool:fetch("select n, t from v order by n"))
        assert.equal(3, #rows)
        assert.equal("two", rows[2].t)
        assert.equal("two", rows[2][2])
        assert.equal(2, rows[2][1])
        assert.equal(null, rows[3].t)
        assert.same({ "n", "t" }, rows.columns)
        assert.equal(3, rows.affected)
        assert.equal("SELECT 3", rows.tag)
        local seen = 0
        for key in pairs(rows) do
            assert.equal("number", type(key))
            seen = seen + 1
        end
        assert.equal(3, seen)
    end)

    it("lets the last of the columns of one name have it", function()
        local row = assert(pool:fetchrow("select 1 as a, 2 as a, 3 as b"))
        assert.equal(2, row.a)
        assert.same({ 1, 2, 3 }, { row[1], row[2], row[3] })
    end)

    it("gives many rows", function()
        local sets = {}
        for n = 1, 3000 do
            sets[n] = { n, "text " .. n }
        end
        assert.equal(3000, assert(pool:executemany("insert into v (n, t) values ($1, $2)", sets)))
        local rows = assert(pool:fetch("select n, t from v order by n"))
        assert.equal(3000, #rows)
        for n, row in ipairs(rows) do
            assert.equal(n, row.n)
            assert.equal("text " .. n, row[2])
        end
    end)

    it("runs an executemany of nothing", function()
        assert.equal(0, assert(pool:executemany("insert into v (n) values ($1)", {})))
        assert.equal(0, pool:fetchval("select count(*) from v"))
    end)

    it("undoes an executemany that fails half-way", function()
        assert(pool:execute("create unique index one on v (n)"))
        local done, err = pool:executemany("insert into v (n) values ($1)", { { 1 }, { 2 }, { 1 } })
        assert.is_nil(done)
        assert.is_true(err:is("IntegrityError"))
        assert.equal(0, pool:fetchval("select count(*) from v"))
    end)

    if db.name == "postgresql" then
        it("has decimals as strings", function()
            assert.equal("12.50", pool:fetchval("select 12.50::numeric"))
            assert.equal("0.1000000000000000055", pool:fetchval("select $1::numeric",
                weirpool.numeric("0.1000000000000000055")))
            for _, text in ipairs { "-12.50", "NaN", "-0.001", "123456789012345678901234567890", "7" } do
                assert.equal(text, pool:fetchval("select $1::numeric", weirpool.numeric(text)))
            end
        end)
        it("has times, UUIDs and addresses as strings in ISO form", function()
            for _, case in ipairs {
                { "date '2024-02-29'", "2024-02-29" },
                { "date '0044-03-15 BC'", "0044-03-15 BC" },
                { "date 'infinity'", "infinity" },
                { "time '12:30'", "12:30:00" },
                { "timetz '12:30:00.25+05:30'", "12:30:00.25+05:30" },
                { "timestamp '2024-02-29 12:30'", "2024-02-29 12:30:00" },
                { "timestamptz '2024-02-29 12:30+02'", "2024-02-29 10:30:00+00" },
                { "interval '1 year 2 mons 3 days 04:05:06.7'", "P1Y2M3DT4H5M6.7S" },
                { "uuid 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11" },
                { "inet '10.0.0.1/8'", "10.0.0.1/8" },
                { "cidr '10.0.0.0/8'", "10.0.0.0/8" },
                { "macaddr '08002b:010203'", "08:00:2b:01:02:03" },
            } do
                local name = case[1]:match("^%w+")
                assert.equal(case[2], pool:fetchval("select " .. case[1]))
                -- the same next to a type that is known by its text only, and there and back
                assert.equal(case[2], pool:fetchval("select " .. case[1] .. ", point '(1,2)'"))
                assert.equal(case[2], pool:fetchval("select $1::" .. name, case[2]))
            end
        end)
        it("has arrays as tables, with null for NULL", function()
            assert.same({}, pool:fetchval("select '{}'::int[]"))
            assert.same({ 1, null, 3 }, pool:fetchval("select '{1,NULL,3}'::int[]"))
            local nested = [=[select '{{a,"b c"},{"",NULL}}'::text[]]=]
            assert.same({ { "a", "b c" }, { "", null } }, pool:fetchval(nested))
            assert.same({ "2024-02-29", "infinity" }, pool:fetchval("select '{2024-02-29,infinity}'::date[]"))
            assert.same({ "1.50" }, pool:fetchval("select '{1.50}'::numeric[], point '(1,2)'"))
            assert.same({ 1, 2 }, pool:fetchval("select $1::int[]", "{1,2}"))
        end)
        it("takes arrays", function()
            local array = weirpool.array
            local function back(name, list)
                return assert(pool:fetchval("select $1::" .. name, array(list)))
            end
            assert.same({}, back("int[]", {}))
            assert.same({ 1, null, 3 }, back("int[]", { 1, null, 3 }))
            assert.same({ null, 2, null }, back("int[]", { nil, 2, nil, n = 3 }))
            assert.same({ { 1, 2 }, { 3, null } }, back("int[]", { { 1, 2 }, { 3, null } }))
            assert.same({ "a", "", 'q"\\' }, back("text[]", { "a", "", 'q"\\' }))
            local numeric = weirpool.numeric
            assert.same({ "1.50", "NaN" }, back("numeric[]", { numeric("1.50"), numeric("NaN") }))
            assert.same({ "2024-02-29" }, back("date[]", { "2024-02-29" }))
            assert.same({ "a\0b" }, back("bytea[]", { weirpool.bytes("a\0b") }))
            assert.same({ true, false }, back("bool[]", { true, false }))
            local many = {}
            for n = 1, 20000 do
                many[n] = weirpool.numeric(tostring(n))
            end
            assert.equal("20000", back("numeric[]", many)[20000])
            local got = assert(pool:fetchval("select '{{1,2},{3,4}}'::int[]"))
            assert.same(got, assert(pool:fetchval("select $1::int[]", got)))
            assert.equal('[1, "a", null]', pool:fetchval("select $1::json", array { 1, "a", null }))
        end)
        it("refuses what is no array", function()
            for text, list in pairs {
                ["inner tables are not all of one length"] = { { 1 }, { 2, 3 } },
                ["tables beside values"] = { 1, { 2 } },
                ["more than six dimensions"] = { { { { { { { 1 } } } } } } },
                ["a function cannot be in an array"] = { print },
            } do
                local good, err = pcall(pool.fetchval, pool, "select $1::int[]", weirpool.array(list))
                assert.is_false(good)
                assert.is_truthy(tostring(err):find(text, 1, true), tostring(err))
            end
            assert.is_false((pcall(weirpool.array, 3)))
            assert.is_false((pcall(pool.fetchval, pool, "select $1::int[]", { 1 })))
        end)
        it("has ranges as tables", function()
            local range = weirpool.range
            local got = assert(pool:fetchval("select int4range(1, 5)"))
            assert.same({ lower = 1, upper = 5, lower_inc = true, upper_inc = false, empty = false }, got)
            assert.equal("[1,5)", tostring(got))
            assert.same(got, pool:fetchval("select $1::int4range", got))
            assert.same(got, pool:fetchval("select $1::int4range", range { lower = 1, upper = 5 }))
            assert.same(got, pool:fetchval("select $1::int4range", "[1,5)"))
            assert.equal("(,4]", tostring(range { upper = 4, upper_inc = true }))
            assert.is_true(assert(pool:fetchval("select $1::int4range", range { empty = true })).empty)
            assert.same({ upper = "2024-02-29", lower_inc = false, upper_inc = false, empty = false },
                pool:fetchval("select $1::daterange, point '(1,2)'", range { upper = "2024-02-29" }))
            assert.equal("{[1,2),[5,)}", pool:fetchval("select $1::int4multirange::text",
                weirpool.array { range { lower = 5 }, range { lower = 1, upper = 2 } }))
            local ranges = assert(pool:fetchval("select '{[1,2),[5,7)}'::int4multirange"))
            assert.equal("[5,7)", tostring(ranges[2]))
            assert.same(ranges, pool:fetchval("select $1::int4multirange", ranges))
            local list = weirpool.array { ranges[1], null }
            assert.same({ ranges[1], null }, pool:fetchval("select $1::int4range[]", list))
            local good, err = pcall(range, { lower = 1, uper = 2 })
            assert.is_false(good)
            assert.is_truthy(tostring(err):find("it has no uper", 1, true))
            assert.is_false((pcall(range, "[1,2)")))
            assert.is_false((pcall(pool.fetchval, pool, "select $1::int4range", range { lower = {} })))
        end)
        it("has JSON as its text, rows as tables", function()
            assert.equal('{"a": [1]}', pool:fetchval("select $1::jsonb", '{"a":[1]}'))
            assert.equal("[1]", pool:fetchval("select '[1]'::json, point '(1,2)'"))
            local row = pool:fetchval("select row(1, 'a'::text, null, array[1,2])")
            assert.same({ 1, "a", null, { 1, 2 } }, row)
            assert.equal("0101", pool:fetchval("select b'0101'"))
        end)
        it("has booleans", function()
            assert.is_true(pool:fetchval("select true"))
            assert.is_false(pool:fetchval("select $1::bool", false))
        end)
    end
end)
