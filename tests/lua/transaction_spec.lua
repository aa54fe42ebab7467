local support = require "support"

support.each("pool:transaction", function(db)
    local pool
    before_each(function()
        pool = assert(db.open { max_size = 1, checkout_timeout = 5 })
        assert(pool:execute("create table t (a integer unique)"))
    end)
    local INSERT = "insert into t values ($1)"

    it("gives what each statement gives", function()
        for first = 1, 7, 3 do
            local answers = assert(pool:transaction {
                { INSERT, first }, "select max(a) as a from t", { INSERT, first + 1 },
                { "select a from t where a = $1", first + 1 },
            })
            assert.equal(4, #answers)
            assert.same({ 1, 1, first, 1, 1, first + 1 },
                { answers[1], #answers[2], answers[2][1].a, answers[3], #answers[4], answers[4][1].a })
        end
        assert.same({}, assert(pool:transaction {}))
        assert.equal(6, pool:fetchval("select count(*) from t"))
    end)

    it("changes all or nothing", function()
        assert(pool:execute(INSERT, 1))
        for place = 1, 3 do
            local statements = { { INSERT, 2 }, { INSERT, 3 } }
            table.insert(statements, place, { INSERT, 1 })
            local options = { timeout = 10, isolation = "serializable" }
            local answers, err, state = pool:transaction(statements, options)
            assert.is_nil(answers)
            assert.equal("23505", state)
            assert.equal("23505", err.sqlstate)
            assert.equal(1, pool:fetchval("select count(*) from t"))
        end
        assert.equal(0, pool:snapshot().active)
    end)

    it("runs behind a setup hook", function()
        local seen = 0
        local hooked = assert(db.open { max_size = 1, setup = function(connection)
            seen = seen + connection:fetchval "select 1"
        end })
        local given = assert(hooked:transaction { { INSERT, 5 }, "select a from t" })
        assert.same({ 1, 5 }, { given[1], given[2][1].a })
        local both = { { INSERT, 6 }, { INSERT, 5 } }
        local answers, _, state = hooked:transaction(both, { isolation = "serializable" })
        assert.is_nil(answers)
        assert.equal("23505", state)
        assert.equal(1, hooked:fetchval("select count(*) from t"))
        assert.equal(3, seen)
        assert(hooked:close(0))
    end)

    it("takes nothing else", function()
        local hooked = assert(db.open { setup = function() end })
        for _, any in ipairs { pool, hooked } do
            local function wrong(text, ...)
                local given = { ... }
                assert.error_matches(function() any:transaction(given[1], given[2]) end, text)
            end
            wrong("transaction: a list of statements is wanted", "select 1")
            wrong("statement 1 is no text", { 1 })
            wrong("statement 2 is no text", { "select 1", {} })
            wrong("there is no option reset", {}, { reset = "never" })
            wrong("timeout", {}, { timeout = 0 })
            local text = { "select 1", readonly = true }
            assert.error_matches(function() any:executemany(text, {}) end, "no option readonly")
            assert.error_matches(function() any:execute_script(text) end, "no option readonly")
        end
    end)
end)
