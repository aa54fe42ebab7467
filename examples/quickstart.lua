-- A first program: a pool on SQLite, a transaction, rows. For Lua 5.4 and LuaJIT.
local weirpool = require "weirpool"

local pool = assert(weirpool.open { url = "sqlite://", min_size = 1, max_size = 4 })
assert(pool:execute("create table t (id integer primary key, name text)"))
-- a transaction: committed when the function returns, rolled back when it raises
assert(pool:session(function(s)
   assert(s:execute("insert into t values ($1, $2)", 1, "weir"))
   assert(s:execute("insert into t values ($1, $2)", 2, "pool"))
   return true
end))
for _, row in ipairs(assert(pool:fetch("select * from t order by id"))) do print(row.id, row.name) end
print(assert(pool:fetchval { text = "select count(*) from t", timeout = 0.5 }), "rows")
pool:close()
