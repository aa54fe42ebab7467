local support = require "support"
local weirpool = require "weirpool"

support.each("a failure", function(db)
    local pool
    before_each(function()
        pool = assert(db.open())
        assert(pool:execute("create table t (a integer unique, b integer not null)"))
        assert(pool:execute("insert into t values (1, 1)"))
    end)

    it("is nil, err, sqlstate", function()
        local rows, err, state = pool:fetch("selec 1")
        assert.is_nil(rows)
        assert.equal("42601", state)
        assert.equal(state, err.sqlstate)
        assert.equal("SyntaxError", err.class)
        assert.equal("ProgrammingError", err:parent())
        assert.is_false(err.retryable)
        assert.is_true(err:is("ProgrammingError") and err:is("DatabaseError") and err:is("Error"))
        assert.is_false(err:is("IntegrityError"))
        assert.is_true(weirpool.is_error(err))
        assert.is_false(weirpool.is_error("text"))
        assert.has_error(function()
            err:is("UniqueVoilation")
        end)
    end)

    it("names the constraint", function()
        local done, err = pool:execute("insert into t values (1, 2)")
        assert.is_nil(done)
        assert.equal("UniqueViolation", err.class)
        assert.equal("23505", err.sqlstate)
        assert.equal("ESERVER", err.name)
        assert.is_true(err:is("IntegrityError"))
        done, err = pool:execute("insert into t values (2, null)")
        assert.is_nil(done)
        assert.equal("NotNullViolation", err.class)
        if db.name == "postgresql" then
            assert.equal("b", err.column)
            assert.equal("t", err.table)
            assert.equal("public", err.schema)
            assert.equal("ERROR", err.severity)
            assert.is_string(err.detail)
        end
    end)

    it("tells the position, where the database does", function()
        local _, err = pool:fetch("select nosuch from t")
        assert.equal("UndefinedColumn", err.class)
        if db.name == "postgresql" then
            assert.equal(8, err.position)
        end
    end)

    if db.name == "postgresql" then
        it("tells where the server was", function()
            local text = "create function f() returns int language plpgsql as 'begin return 1 / 0; end'"
            assert(pool:execute(text))
            local _, err = pool:fetchval("select f()")
            assert.matches("PL/pgSQL function f() line 1 at RETURN", err.context, 1, true)
            assert.matches("\nCONTEXT: " .. err.context, tostring(err), 1, true)
            _, err = pool:fetch("select nosuch")
            assert.is_nil(err.context)
            local done
            done, err = pool:copy_in("copy t from stdin", "7\t7\nacht\t8\n")
            assert.is_nil(done)
            assert.equal('COPY t, line 2, column a: "acht"', err.context)
        end)
    end

    it("reads well", function()
        local _, err = pool:execute("insert into t values (1, 2)")
        assert.matches("^UniqueViolation: .+%(SQLSTATE 23505%)", tostring(err))
        assert.matches("^it says UniqueViolation: ", "it says " .. err)
    end)

    it("is what assert raises", function()
        local output = support.run(([[
            local weirpool = require "weirpool"
            local pool = assert(weirpool.open { url = %q, min_size = 0 })
            local function insert(on) return on:execute("insert into t values (1, 2)") end
            for _, fn in ipairs {
                function() assert(insert(pool)) end,
                function() assert(pool:session(insert)) end,
                function() assert(pool:connection(function(c) return c:transaction(insert) end)) end,
            } do
                local ok, raised = pcall(fn)
                print(ok, raised.class)
            end
            pool:close()
            print(select(2, pcall(function() assert(pool:session()) end)).class)
            print(select(2, pcall(function() assert(weirpool.open("no://url")) end)).class)]]):format(db.url))
        assert.equal(("false\tUniqueViolation\n"):rep(3) .. "PoolClosed\nOptionError\n", output)
    end)

    it("leaves the pool at work", function()
        for _ = 1, 20 do
            assert.is_nil((pool:fetch("select nosuch")))
        end
        assert.equal(1, pool:fetchval("select count(*) from t"))
        local snapshot = pool:snapshot()
        assert.equal(20, snapshot.queries_failed)
        assert.equal(0, snapshot.active)
    end)

    it("is printed by the interpreter when nobody catches it", function()
        local output = support.run(([[
            local weirpool = require "weirpool"
            local pool = assert(weirpool.open { url = %q, min_size = 0 })
            assert(pool:fetch("select nosuch"))]]):format(db.url))
        assert.matches("UndefinedColumn: ", output)
        assert.matches("SQLSTATE 42703", output)
    end)

    it("does not keep Ctrl-C waiting", function()
        local started = os.time()
        local output = support.run(([[
            local weirpool = require "weirpool"
            local pool = assert(weirpool.open { url = %q, min_size = 0 })
            os.execute "(sleep 0.2; kill -INT $PPID) &"
            print(pool:fetchval %q)]]):format(db.url, db.slow))
        assert.matches("interrupted!", output)
        assert.is_true(os.time() - started < 10)
    end)
end)

describe("a pool that cannot be opened", function()
    it("tells why", function()
        local url = "sqlite:////nonexistent/file.db"
        local pool, err = weirpool.open { url = url, require = true, min_size = 1 }
        assert.is_nil(pool)
        assert.equal("ConnectError", err.class)
        assert.is_true(err:is("OperationalError"))
    end)

    it("does not tell the password", function()
        local url = "postgresql://me:sesame@127.0.0.1:1/x"
        local pool, err = weirpool.open { url = url, require = true, min_size = 1 }
        assert.is_nil(pool)
        assert.is_nil(tostring(err):find("sesame", 1, true))
    end)

    it("knows the schemes", function()
        local pool, err = weirpool.open("mysql://localhost/x")
        assert.is_nil(pool)
        assert.equal("OptionError", err.class)
    end)
end)
