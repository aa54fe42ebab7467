local support = require "support"
local weirpool = require "weirpool"

support.each("metrics", function(db)
    it("are text in two formats and of two sets of names", function()
        local pool = assert(db.open { name = "shop", max_size = 3 })
        assert(pool:fetch "select 1")
        local text = assert(pool:metrics())
        local succeeded = 'weir_queries_total{db_client_connection_pool_name="shop",outcome="succeeded"} 1\n'
        assert.truthy(text:find(succeeded, 1, true))
        local active = '\ndb_active_connections{db_client_connection_pool_name="shop"} 0\n'
        assert.truthy(text:find(active, 1, true))
        assert.falsy(text:find("# EOF", 1, true))
        text = assert(pool:metrics { format = "openmetrics", names = "standard" })
        assert.truthy(text:find(succeeded, 1, true))
        assert.falsy(text:find("db_active_connections", 1, true))
        assert.equal("\n# EOF\n", text:sub(-7))
        local types = weirpool.content_types
        assert.equal("application/openmetrics-text; version=1.0.0; charset=utf-8", types.openmetrics)
        assert.equal("text/plain; version=0.0.4; charset=utf-8", types.prometheus)
        support.misuse("format=xml: give prometheus or openmetrics", function()
            pool:metrics { format = "xml" }
        end)
        support.misuse("no option sort here: format, names", function()
            pool:metrics { sort = "xml" }
        end)
        support.misuse("names: a string is wanted", function()
            pool:metrics { names = 7 }
        end)
    end)

    it("are shared by a file", function()
        local file = os.tmpname()
        os.remove(file)
        local one = assert(db.open { name = "shop", metrics_shared = file })
        local two = assert(db.open { name = "shop", metrics_shared = file })
        assert(one:fetch "select 1")
        assert(two:fetch "select 1")
        local succeeded = 'weir_queries_total{db_client_connection_pool_name="shop",outcome="succeeded"} 2\n'
        for _, text in ipairs { one:metrics(), two:metrics(), weirpool.exposition() } do
            assert.truthy(text:find(succeeded, 1, true))
        end
        assert.equal(1, one:snapshot().queries_succeeded)
        one:close()
        two:close()
        os.remove(file)
        local pool, err = db.open { metrics_shared = "/nowhere/at/all" }
        assert.is_nil(pool)
        assert.equal("OptionError", err.class)
    end)

    it("are those of all pools", function()
        local one, two = assert(db.open { name = "one" }), assert(db.open { name = "two" })
        local text = assert(weirpool.exposition { names = "seed" })
        assert.truthy(text:find('db_idle_connections{db_client_connection_pool_name="one"}', 1, true))
        assert.truthy(text:find('db_idle_connections{db_client_connection_pool_name="two"}', 1, true))
        one:close()
        two:close()
    end)
end)
