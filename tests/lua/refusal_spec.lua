local support = require "support"
local weirpool = require "weirpool"

local function refused(class, state, value, err, given)
    assert.is_nil(value)
    assert.equal(class, err.class)
    assert.equal(state, err.sqlstate)
    assert.equal(state, given)
    return err
end

support.each("a refusal", function(db)
    it("for a missing database comes at once", function()
        local url = db.name == "sqlite" and "sqlite:////nonexistent/x.db" or db.url:gsub("/[^/]*$", "/nosuch")
        local err = refused("ConnectError", "3D000", weirpool.open { url = url, min_size = 1 })
        assert.is_false(err.retryable)
    end)

    if db.name == "postgresql" then
        it("for a wrong password comes at once", function()
            local url = db.url:gsub("//[^@]*@", "//locked:sesame@")
            local err = refused("ConnectError", "28P01", weirpool.open { url = url, min_size = 1 })
            assert.is_false(err.retryable)
            assert.is_nil(tostring(err):find("sesame", 1, true))
        end)

        it("by a server that is down tells when to come again", function()
            local pool = assert(weirpool.open { url = "postgresql://x@127.0.0.1:1/x", min_size = 0,
                retry_min = 5, retry_max = 5 })
            finally(function()
                pool:close(0)
            end)
            local started = os.time()
            for _ = 1, 2 do
                local err = refused("ConnectError", nil, pool:fetchval("select 1"))
                assert.is_true(err.retryable)
                assert.is_true(err.retry_after > 0 and err.retry_after <= 5)
            end
            assert.is_true(os.time() - started < 5)
        end)
    end

    it("by a queue that is full comes at once", function()
        local pool = assert(db.open { min_size = 1, max_size = 1, max_waiting = 0, checkout_timeout = 5 })
        local holder = assert(pool:connection())
        local err = refused("TooManyWaiting", nil, pool:session())
        assert.is_true(err.retryable and err:is("OperationalError"))
        refused("TooManyWaiting", nil, pool:fetchval("select 1"))
        holder:close()
        assert.equal(1, pool:fetchval("select 1"))
        assert.equal(2, pool:snapshot().checkouts_refused)
    end)

    it("by a session whose time is over is a SessionTimeout", function()
        local pool = assert(db.open { max_size = 1 })
        local session = assert(pool:session { timeout = 0.05 })
        for _, sql in ipairs { db.slow, "select 1" } do
            local err = refused("SessionTimeout", nil, session:fetchval(sql))
            assert.is_true(err:is("PoolTimeout"))
        end
        refused("SessionTimeout", nil, session:commit())
        assert.equal(1, pool:fetchval("select 1"))
    end)
end)
