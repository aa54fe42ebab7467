-- The two databases of the tests: an SQLite file for each test, and one PostgreSQL for all, that of
-- WEIR_TEST_PG_URL or one of our own (tests/support/pg.sh), stopped at the end.
local busted = require "busted"
local weirpool = require "weirpool"

weirpool.log(false) -- tests that want the lines say so

local support = { interpreter = rawget(_G, "WEIR_INTERPRETER") }
local here = debug.getinfo(1, "S").source:match("^@(.*)/[^/]*$")
support.here = here

local function capture(command)
    local pipe = assert(io.popen(command))
    local text = pipe:read("*a")
    pipe:close()
    return text
end
support.capture = capture

local function temporary_folder()
    return (capture("mktemp -d"):gsub("%s+$", ""))
end

local postgres

local function postgres_url()
    if not postgres then
        postgres = { url = os.getenv("WEIR_TEST_PG_URL") }
        if not postgres.url or postgres.url == "" then
            postgres.folder = temporary_folder()
            local script = here .. "/../support/pg.sh"
            postgres.url = capture(script .. " start " .. postgres.folder):match("%S+")
            assert(postgres.url, "PostgreSQL does not start")
            busted.subscribe({ "exit" }, function()
                os.execute(script .. " stop " .. postgres.folder)
                return nil, true
            end)
        end
    end
    return postgres.url
end

local databases = {
    {
        name = "sqlite",
        fresh = function(self)
            self.folder = temporary_folder()
            self.url = "sqlite:///" .. self.folder .. "/test.db"
        end,
        clean = function(self)
            os.execute("rm -rf " .. self.folder)
        end,
        types = { bytes = "blob", real = "real", integer = "integer" },
        slow = "with recursive n(i) as (select 1 union all select i + 1 from n where i < 1e9) "
            .. "select max(i) from n",
    },
    {
        name = "postgresql",
        fresh = function(self)
            self.url = postgres_url()
            local pool = assert(weirpool.open { url = self.url, min_size = 0, max_size = 1 })
            assert(pool:execute("drop schema if exists public cascade"))
            assert(pool:execute("create schema public"))
            assert(pool:close())
        end,
        clean = function() end,
        types = { bytes = "bytea", real = "double precision", integer = "bigint" },
        slow = "select pg_sleep(100)",
    },
}

--- Defines the tests for both databases. define(db): db.open(options) gives a pool that is closed after the
--- test.
function support.each(title, define)
    for _, db in ipairs(databases) do
        busted.describe(title .. " on " .. db.name, function()
            local pools
            function db.open(options)
                local all = { url = db.url, min_size = 0, max_size = 2 }
                for name, value in pairs(options or {}) do
                    all[name] = value
                end
                local pool, err, state = weirpool.open(all)
                if pool then
                    pools[#pools + 1] = pool
                end
                return pool, err, state
            end
            busted.before_each(function()
                db:fresh()
                pools = {}
            end)
            busted.after_each(function()
                for _, pool in ipairs(pools) do
                    pool:close(0)
                end
                db:clean()
            end)
            define(db)
        end)
    end
end

--- Runs a script of Lua in a process of its own, with this process' paths, and `environment` before the
--- command. Gives its output, standard error included.
function support.run(script, environment)
    local name = os.tmpname()
    local file = assert(io.open(name, "w"))
    file:write(("package.path, package.cpath = %q, %q\n"):format(package.path, package.cpath), script)
    file:close()
    local output = capture(("%s %s %s 2>&1"):format(environment or "", support.interpreter, name))
    os.remove(name)
    return output
end

--- For scripts that measure their memory: resident(), in bytes; and an environment in which a sanitizer keeps
--- no freed memory back.
support.RESIDENT = [[
local pipe = io.popen "getconf PAGESIZE"
local page = pipe:read "*n"
pipe:close()
local function resident()
    local file = io.open "/proc/self/statm"
    local _, pages = file:read("*n", "*n")
    file:close()
    return pages * page
end]]
support.NO_QUARANTINE = 'ASAN_OPTIONS="$ASAN_OPTIONS:quarantine_size_mb=1:thread_local_quarantine_size_kb=64"'

local started = {}

--- Starts such a script, to be interrupted: interrupt(process) sends it SIGINT and gives its output.
function support.start(script)
    local name = os.tmpname()
    local file = assert(io.open(name, "w"))
    file:write(("package.path, package.cpath = %q, %q\n"):format(package.path, package.cpath))
    file:write('io.stdout:setvbuf "line"\n')
    file:write('local pipe = io.popen "echo $PPID"; print(pipe:read "*l"); pipe:close()\n')
    file:write(script)
    file:close()
    local process = { name = name, pipe = assert(io.popen(("%s %s 2>&1"):format(support.interpreter, name))) }
    process.pid = assert(process.pipe:read("*l"):match("^%d+$"))
    started[process] = true
    return process
end

--- Ends what a failed test has left running: closing its pipe, the collector would wait for it.
function support.kill()
    for process in pairs(started) do
        os.execute("kill -9 " .. process.pid)
        process.pipe:close()
    end
    started = {}
end

function support.interrupt(process)
    started[process] = nil
    os.execute("kill -INT " .. process.pid)
    local output = process.pipe:read("*a")
    process.pipe:close()
    os.remove(process.name)
    return output
end

--- Where two pools or a database and a pool are to agree: tries until it holds, for ten seconds at most.
function support.eventually(holds)
    local limit = os.time() + 10
    repeat
        local value = holds()
        if value then
            return value
        end
    until os.time() > limit
    error("it never came true", 2)
end

--- The function raises, with that in its message, and blamed on a line of the file that calls this.
function support.misuse(pattern, fn)
    local file = debug.getinfo(2, "S").short_src
    local ok, err = pcall(fn)
    if ok or type(err) ~= "string" then
        error("no misuse: " .. tostring(err), 2)
    elseif err:sub(1, #file + 1) ~= file .. ":" or not err:match("^%d+: ", #file + 2)
        or not err:find(pattern, #file) then
        error("another misuse: " .. err, 2)
    end
end

return support
