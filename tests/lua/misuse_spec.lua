local support = require "support"
local weirpool = require "weirpool"

local misuse = support.misuse

describe("misuse of open", function()
    local function open(options)
        return function()
            weirpool.open(options)
        end
    end

    it("raises", function()
        misuse("not a nil", open(nil))
        misuse("not a number", open(7))
        misuse("url", open { url = 7 })
        misuse("names of options", open { "sqlite:///x.db" })
        misuse("max_size", open { url = "sqlite:///x.db", max_sise = 3 })
        misuse("max_size", open { url = "sqlite:///x.db", max_size = "many" })
        misuse("max_size", open { url = "sqlite:///x.db", max_size = 1.5 })
        misuse("max_size", open { url = "sqlite:///x.db", max_size = false })
        misuse("checkout_timeout", open { url = "sqlite:///x.db", checkout_timeout = 0 })
        misuse("checkout_timeout", open { url = "sqlite:///x.db", checkout_timeout = {} })
        misuse("min_size", open { url = "sqlite:///x.db", min_size = 3, max_size = 2 })
        misuse("init", open { url = "sqlite:///x.db", init = "x" })
        misuse("setup", open { url = "sqlite:///x.db", setup = true })
        misuse("server_settings", open { url = "sqlite:///x.db", server_settings = 1 })
        misuse("server_settings", open { url = "sqlite:///x.db", server_settings = { "a" } })
        misuse("NUL", open { url = "sqlite:///x\0.db" })
    end)

    it("of log and bytes raises, too", function()
        misuse("function", function()
            weirpool.log(7)
        end)
        misuse("levels", function()
            weirpool.log(print, "loud")
        end)
        misuse("string", function()
            weirpool.bytes(7)
        end)
        for _, text in ipairs { "", "-", ".", "1.2.3", "1,5", "0x10", "ten", "1e", " 1", 7 } do
            misuse("decimal", function()
                weirpool.numeric(text)
            end)
        end
    end)
end)

support.each("misuse of a pool", function(db)
    local pool
    before_each(function()
        pool = assert(db.open())
    end)

    it("by a dot instead of a colon raises", function()
        misuse("colon", function()
            pool.fetch("select 1")
        end)
        misuse("colon", function()
            pool.fetch({ handle = 1 }, "select 1")
        end)
        local session = assert(pool:session())
        misuse("colon", function()
            session.fetch(pool, "select 1")
        end)
        misuse("colon", function()
            pool.fetch(session, "select 1")
        end)
        session:close()
    end)

    it("by wrong statements raises", function()
        local twice = { "select 1", text = "select 1" }
        for _, sql in ipairs { 7, true, {}, { 7 }, { timeout = 1 }, twice, print } do
            misuse(".", function()
                pool:fetch(sql)
            end)
        end
        misuse("nil", function()
            pool:fetch()
        end)
        misuse("timeout", function()
            pool:fetch { "select 1", timeuot = 1 }
        end)
        for _, timeout in ipairs { 0, -1, "1", 0 / 0, 1e300, true } do
            misuse("timeout", function()
                pool:fetch { "select 1", timeout = timeout }
            end)
        end
        misuse(".", function()
            pool:fetch("")
        end)
        misuse(".", function()
            pool:fetch("select 1\0")
        end)
    end)

    it("by wrong parameters raises", function()
        for _, value in ipairs { {}, print, coroutine.create(print), io.stdout, setmetatable({ "x" }, {}) } do
            misuse("parameter 2", function()
                pool:fetch("select $1, $2", 1, value)
            end)
        end
        misuse("list of lists", function()
            pool:executemany("select $1", 7)
        end)
        misuse("set 2", function()
            pool:executemany("select $1", { { 1 }, 2 })
        end)
        misuse("executemany takes", function()
            pool:executemany("select $1", { { 1 } }, 2)
        end)
        misuse("parameter 1", function()
            pool:executemany("select $1", { { print } })
        end)
        misuse(".", function()
            pool:executemany("select $1", { { 1 }, { 1, 2 } })
        end)
        assert.equal(1, pool:fetchval("select 1"))
    end)

    it("by wrong options raises", function()
        misuse("isolatoin", function()
            pool:session { isolatoin = "serializable" }
        end)
        misuse("isolation", function()
            pool:connection { isolation = "serializable" }
        end)
        misuse("isolation", function()
            pool:session { isolation = true }
        end)
        misuse("readonly", function()
            pool:session { readonly = 1 }
        end)
        misuse("timeout", function()
            pool:session { timeout = 0 }
        end)
        misuse("table of options", function()
            pool:session(7)
        end)
        misuse("function", function()
            pool:session({}, 7)
        end)
        misuse("integer", function()
            pool:resize("1", 2)
        end)
        misuse("range", function()
            pool:resize(0, 2 ^ 40)
        end)
        misuse(".", function()
            pool:resize(3, 2)
        end)
        misuse("grace", function()
            pool:close("now")
        end)
        pool:connection(function(connection)
            misuse("timeout", function()
                connection:transaction { timeout = 1 }
            end)
        end)
        assert.equal(0, pool:snapshot().active)
    end)
end)
