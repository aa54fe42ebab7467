local support = require "support"
local weirpool = require "weirpool"

support.each("the five calls", function(db)
    local pool
    before_each(function()
        pool = assert(db.open { max_size = 1 })
        assert(pool:execute("create table t (a integer, b text)"))
    end)

    local function all_work(on)
        assert.equal(1, on:execute("insert into t values ($1, $2)", 1, "a"))
        assert.equal(2, on:executemany("insert into t values ($1, $2)", { { 2, "b" }, { 3, weirpool.null } }))
        local rows = assert(on:fetch("select a, b from t where a < $1 order by a", 4))
        assert.equal(3, #rows)
        assert.same({ 1, "a", 3, weirpool.null }, { rows[1].a, rows[1].b, rows[3].a, rows[3].b })
        local row = assert(on:fetchrow("select b, a from t where a = $1", 2))
        assert.same({ "b", 2, "b" }, { row[1], row[2], row.b })
        assert.is_nil((on:fetchrow("select a from t where a = $1", 9)))
        assert.equal("a", on:fetchval("select b from t where a = $1", 1))
        assert.equal(3, on:execute("delete from t"))
        return true
    end

    for _, lend in ipairs { "connection", "session" } do
        it("work on a " .. lend, function()
            assert.is_true(pool[lend](pool, all_work))
        end)
    end

    it("work on a pool", function()
        assert.is_true(all_work(pool))
    end)

    it("work in a log function", function()
        local lines, given = {}, {}
        weirpool.log(function(_, line)
            lines[#lines + 1] = line
            given = { pool:fetchval("select count(*) + $1 from t", 7) }
        end)
        finally(function()
            weirpool.log(false)
        end)
        local function forget()
            assert(assert(pool:session()):execute("insert into t values (1, 'a')"))
        end
        forget()
        collectgarbage()
        collectgarbage()
        assert.equal(5, pool:fetchval("select count(*) + $1 from t", 5)) -- the collector's line comes with it
        assert.equal(1, #lines, table.concat(lines, "\n"))
        assert.same({ 7 }, given)
        assert.equal(1, pool:snapshot().idle)
    end)
end)
