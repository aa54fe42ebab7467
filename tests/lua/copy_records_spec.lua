local support = require "support"
local weirpool = require "weirpool"

support.each("copy_records", function(db)
    if db.name == "sqlite" then
        return
    end

    local pool
    before_each(function()
        pool = assert(db.open { max_size = 2, checkout_timeout = 5 })
        assert(pool:execute("create table t (a int, b text)"))
    end)

    local function count()
        return pool:fetchval("select count(*) from t")
    end

    --- Calls fn(connection), and sees to it that the same connection works on.
    local function on_one(fn)
        assert(pool:connection(function(connection)
            local backend = connection:inspect().backend
            fn(connection)
            assert.equal(backend, connection:fetchval("select pg_backend_pid()"))
            return true
        end))
        assert.equal(0, pool:snapshot().active)
    end

    it("takes values as parameters", function()
        local long = ("x"):rep(100000)
        local columns = "a bigint, b float8, c numeric, d text, e bytea, f date, g int[], h boolean"
        assert(pool:execute("create table v (" .. columns .. ")"))
        local rows = {
            {
                math.floor(2 ^ 40), 0.5, weirpool.numeric "-12.50", "tab\t, \\N, ünï",
                weirpool.bytes "\0\255", "2024-02-29", weirpool.array { 1, weirpool.null, 3 }, true,
            },
            { weirpool.null, 0.25, 7, long, weirpool.bytes "", "0001-01-01", weirpool.array {}, false },
            { n = 8 },
        }
        on_one(function(connection)
            assert.equal(3, connection:copy_records("v", rows))
        end)
        local back = assert(pool:fetch("select * from v order by length(d)"))
        local first, second = back[1], back[2]
        assert.same({ 2 ^ 40, 0.5, "-12.50" }, { first.a, first.b, first.c })
        assert.same({ rows[1][4], "\0\255", "2024-02-29", true }, { first.d, first.e, first.f, first.h })
        assert.same({ 1, weirpool.null, 3 }, { first.g[1], first.g[2], first.g[3] })
        assert.same({ weirpool.null, 0.25, "7", long }, { second.a, second.b, second.c, second.d })
        assert.same({ "", "0001-01-01", 0, false }, { second.e, second.f, #second.g, second.h })
        for n = 1, 8 do
            assert.equal(weirpool.null, back[3][n])
        end
    end)

    it("goes as text where a column has no binary form", function()
        assert(pool:execute "create table one (a inet, b point, c int)")
        assert.equal(2, pool:copy_records("one", { { "192.168.0.1/24", "(1,2)", 7 }, { n = 3 } }))
        assert.equal("(1,2)", pool:fetchval "select b from one where c = 7")
    end)

    it("quotes names, and takes columns", function()
        assert(pool:execute 'create schema "S a"')
        assert(pool:execute 'create table "S a"."T ""x""" ("A b" int, c int default 7, "select" text)')
        local where = { schema = "S a", columns = { "select", "A b" } }
        assert.equal(2, pool:copy_records('T "x"', { { "s", 1 }, { weirpool.null, 2 } }, where))
        local back = assert(pool:fetch 'select * from "S a"."T ""x""" order by 1')
        assert.same({ 1, 7, "s", 2, 7 }, { back[1][1], back[1][2], back[1][3], back[2][1], back[2][2] })
        local _, err = pool:copy_records("T", { { 1 } }, { schema = "S a" })
        assert.equal("UndefinedTable", err.class)
        _, err = pool:copy_records("t", { { 1 } }, { columns = { "A" } })
        assert.equal("UndefinedColumn", err.class)
        assert(pool:execute 'drop schema "S a" cascade')
    end)

    it("reads an iterator", function()
        local n = 0
        assert.equal(5000, pool:copy_records("t", function()
            n = n + 1
            return n <= 5000 and { n, tostring(n) } or nil
        end))
        assert.equal(12502500, pool:fetchval "select sum(a) from t where a::text = b")
        assert.equal(0, pool:copy_records("t", {}))
        assert.equal(0, pool:copy_records("t", function() end, { columns = { "a" } }))
        assert.equal(5000, count())
    end)

    it("keeps nothing when a row is bad", function()
        local rows
        local function until_row(last, more)
            local n = 0
            rows = function()
                n = n + 1
                if n <= 3000 then
                    return { n, "x" }
                elseif n == 3001 then
                    return last, more
                end
            end
            return rows
        end
        on_one(function(connection)
            for _, case in ipairs {
                { { 1, 2 }, "^record 3001, column b: text takes text, not int" },
                { { math.floor(2 ^ 31), "x" }, "^record 3001, column a: 2147483648" },
                { { 1, "a\0b" }, "^record 3001, column b: a text with a NUL" },
            } do
                local value, err = connection:copy_records("t", until_row(case[1]))
                assert.is_nil(value)
                assert.equal("DataError", err.class)
                assert.matches(case[2], err.message)
            end
            local none, problem = connection:copy_records("t", until_row(nil, "mine"))
            assert.same({ nil, "mine" }, { none, problem })
            support.misuse("set", function() connection:copy_records("t", until_row { 1 }) end)
            support.misuse("not a list of values", function() connection:copy_records("t", until_row(5)) end)
            support.misuse("cannot be the value", function()
                connection:copy_records("t", until_row { 1, print })
            end)
            local value, err = connection:copy_records("missing", { { 1 } })
            assert.is_nil(value)
            assert.equal("UndefinedTable", err.class)
            assert.is_nil(err.hint)
            value, err = connection:copy_records("public.t", { { 1 } })
            assert.is_nil(value)
            assert.equal('a schema is given as such: copy_records("t", rows, {schema = "public"})', err.hint)
        end)
        assert.equal(0, count())
    end)

    it("takes nothing else", function()
        on_one(function(connection)
            support.misuse("the table is a name", function() connection:copy_records(nil, {}) end)
            support.misuse("a list of rows", function() connection:copy_records("t", "x") end)
            support.misuse("a list of names", function()
                connection:copy_records("t", {}, { columns = "a" })
            end)
            support.misuse("a column is a name", function()
                connection:copy_records("t", {}, { columns = { 7 } })
            end)
            support.misuse("the schema is a name", function()
                connection:copy_records("t", {}, { schema = "" })
            end)
            support.misuse("no option colums", function()
                connection:copy_records("t", {}, { colums = {} })
            end)
            support.misuse("table of options", function() connection:copy_records("t", {}, "a") end)
            support.misuse("timeout", function() pool:copy_records("t", {}, { timeout = 0 }) end)
        end)
    end)
end)
