local support = require "support"

-- name: what waits, the statement that runs on the server meanwhile, what the server says once it waits
local WAITS = {
    { "a statement", "pool:fetchval 'select pg_sleep(600)'", "select pg_sleep(600)" },
    {
        "a session",
        "pool:session(function(s) return s:fetchval { 'select pg_sleep(600)', timeout = false } end)",
        "select pg_sleep(600)",
    },
    {
        "a stream",
        "tell 'waiting' for _ in pool:stream 'select pg_sleep(600)' do end",
        nil,
        "select count(*) = 1 from pg_stat_activity where query ilike 'fetch %' and state = 'active'",
    },
    {
        "COPY out",
        "for _ in pool:copy_out 'copy (select pg_sleep(600)) to stdout' do end",
        "copy (select pg_sleep(600)) to stdout",
    },
    {
        "COPY in",
        [[assert(pool:execute_script("create table held (a integer); create function slow() returns trigger "
            .. "language plpgsql as $$ begin perform pg_sleep(600); return new; end $$; "
            .. "create trigger slow before insert on held for each row execute function slow()"))
        pool:copy_in("copy held from stdin", function() return ("1\n"):rep(65536) end)]],
        "copy held from stdin",
    },
    { "a script", "pool:execute_script 'select 1; select pg_sleep(600)'", "select 1; select pg_sleep(600)" },
    {
        "an answer",
        [[pool:connection(function(c)
            return c:pipeline(function(p) p:fetchval("select pg_sleep(600)"):get() end)
        end)]],
        "select pg_sleep(600)",
    },
    {
        "a pipeline",
        [[pool:connection(function(c)
            return c:pipeline(function(p) p:fetchval("select pg_sleep(600)") end)
        end)]],
        "select pg_sleep(600)",
    },
    { "run", "pool:run(function(s) return s:fetchval 'select pg_sleep(600)' end)", "select pg_sleep(600)" },
    {
        "a coroutine",
        "assert(coroutine.resume(coroutine.create(function() error(select(2, pcall(pool.fetchval, pool, "
            .. "'select pg_sleep(600)')), 0) end)))",
        "select pg_sleep(600)",
    },
    {
        "COMMIT",
        [[pool:session(function(s)
            assert(s:execute "create temporary table t (a integer)")
            assert(s:execute("create function pg_temp.slow() returns trigger language plpgsql as "
                .. "'begin perform pg_sleep(600); return null; end'"))
            assert(s:execute("create constraint trigger slow after insert on t deferrable initially deferred "
                .. "for each row execute function pg_temp.slow()"))
            return s:execute "insert into t values (1)"
        end)]],
        "COMMIT",
    },
    { "a checkout", "local holder = pool:connection() tell 'waiting' pool:fetchval 'select 1'" },
    { "a listener", "local listener = assert(pool:listen 'a') tell 'waiting' listener:get()" },
    {
        "the pause of run",
        [[pool:run(function(s)
            local _, err = s:execute("select 1 / 0")
            err.code, err.retryable, err.retry_after = require "weirpool.core".ECONNECT, true, 600
            tell "waiting"
            return nil, err
        end)]],
    },
    {
        "closing", -- which has begun once the idle connection is gone
        [[assert(pool:resize(2, 2))
        holder = pool:connection()
        pool:connection():close()
        tell "waiting"
        pool:close(false)]],
        nil,
        "select count(*) = 1 from pg_stat_activity where application_name = 'interrupted'",
    },
}

local SCRIPT = [[
local weirpool = require "weirpool"
weirpool.log(false)
local tell, holder = print, nil
local pool = assert(weirpool.open {
    url = %q, min_size = 1, max_size = 1, server_settings = { application_name = "interrupted" },
})
local ok, err = pcall(function() %s end)
tell(ok, err)
if pool:closed() then
    assert(holder:fetchval("select 1") == 1)
    holder:close()
else
    collectgarbage()
    collectgarbage()
    local now
    if not tostring(%q):find("COMMIT") then -- that is let finish
        for number = 1, 20 do assert(pool:fetchval("select $1::int8", number) == number) end
        now = assert(pool:snapshot())
        assert(now.idle == 1 and now.size == 1)
    end
    now = assert(pool:snapshot())
    assert(now.active == 0 and now.waiting == 0)
end
assert(pool:close(0))
tell "whole"
]]

support.each("Ctrl-C", function(db)
    if db.name == "sqlite" then
        return
    end
    after_each(support.kill)
    for _, wait in ipairs(WAITS) do
        local title, code, statement, waits = wait[1], wait[2], wait[3], wait[4]
        it("ends " .. title, function()
            local pool = assert(db.open { max_size = 1 })
            local process = support.start(SCRIPT:format(db.url, code, statement or ""))
            if statement then
                support.eventually(function()
                    return 1 == assert(pool:fetchval("select count(*) from pg_stat_activity where query = $1 "
                        .. "and state = 'active'", statement))
                end)
            else
                assert.equal("waiting", process.pipe:read("*l"))
            end
            if waits then
                support.eventually(function()
                    local so, err = pool:fetchval(waits)
                    assert(so ~= nil, err)
                    return so
                end)
            end
            local output = support.interrupt(process)
            assert.matches("^false\t[^\n]*interrupted!\nwhole\n$", output)
            if statement == "COMMIT" then
                assert(pool:fetch("select pg_terminate_backend(pid) from pg_stat_activity where query = $1",
                    statement))
            end
            support.eventually(function()
                return 0 == assert(pool:fetchval("select count(*) from pg_stat_activity where query = $1 "
                    .. "and state = 'active'", statement or "?"))
            end)
        end)
    end
end)
