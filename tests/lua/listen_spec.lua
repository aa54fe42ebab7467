local support = require "support"
local weirpool = require "weirpool"

local RAISE = [[do $$ begin
    raise notice 'low ☂' using detail = 'd', hint = 'h', errcode = '01234';
    raise warning 'high';
end $$]]

support.each("a listener", function(db)
    if db.name == "sqlite" then
        it("is not to be had", function()
            local listener, err = assert(db.open()):listen "a"
            assert.is_nil(listener)
            assert.equal("NotSupportedError", err.class)
            assert.matches("sqlite has no LISTEN", err.message)
        end)
        return
    end

    --- The newest: those of other tests may be there for another moment.
    local function backend(pool)
        return assert(pool:fetchval("select pid from pg_stat_activity where query ~ '^(UN)?LISTEN' "
            .. "order by backend_start desc"))
    end

    it("gets what is notified", function()
        local pool, other = assert(db.open()), assert(db.open())
        local listener = assert(pool:listen { "a", 'Ж "☂"' })
        assert.matches("^weirpool.Listener of ", tostring(listener))
        assert(other:execute("select pg_notify($1, $2)", 'Ж "☂"', "é 🌂"))
        assert(other:execute("select pg_notify('a', $1)", ("x"):rep(7900)))
        assert(other:execute "notify a")
        for i = 1, 50 do
            assert(other:execute("select pg_notify('a', $1)", tostring(i)))
        end
        local note = assert(listener:get(10))
        assert.same({ 'Ж "☂"', "é 🌂", true, nil }, { note.channel, note.payload, note.pid > 0, note.gap })
        assert.equal(7900, #assert(listener:get(10)).payload)
        assert.equal("", assert(listener:get(10)).payload)
        for i = 1, 50 do
            assert.equal(tostring(i), assert(listener:get()).payload)
        end
        assert.equal(1, pool:snapshot().listeners)
        assert.same({ nil, "timeout" }, { listener:get(0.01) })
    end)

    it("takes on channels and leaves them", function()
        local pool = assert(db.open())
        local listener = assert(pool:listen({}, { max_queued = 3, heartbeat = false }))
        assert.is_true(listener:add "b")
        assert.is_true(listener:add "c")
        assert.is_true(listener:add "b")
        assert(pool:execute "notify b")
        assert.is_true(listener:remove "b")
        assert(pool:execute "notify b")
        assert(pool:execute "notify c")
        assert.equal("b", assert(listener:get(10)).channel)
        assert.equal("c", assert(listener:get(10)).channel)
        assert(pool:execute "select pg_notify('c', n::text) from generate_series(1, 10) n")
        support.eventually(function()
            return pool:snapshot().notifications == 12
        end)
        for i = 1, 3 do
            assert.equal(tostring(i), assert(listener:get(10)).payload)
        end
        assert.same({ gap = true, reconnected = 0, dropped = 7 }, listener:get(10))
    end)

    it("connects anew, and tells so", function()
        local pool = assert(db.open { retry_min = 0.01 })
        local listener = assert(pool:listen "a")
        assert(listener:add "b")
        local pid = backend(pool)
        assert(pool:fetch("select pg_terminate_backend($1)", pid))
        assert.same({ gap = true, reconnected = 1, dropped = 0 }, listener:get(10))
        assert(pool:execute "notify b")
        assert.equal("b", assert(listener:get(10)).channel)
    end)

    it("ends", function()
        local pool = assert(db.open())
        local listener = assert(pool:listen "a")
        assert.is_true(listener:close())
        assert.is_true(listener:close())
        for _, method in ipairs { "get", "add", "remove" } do
            assert.has_error(function()
                listener[method](listener, method ~= "get" and "a" or nil)
            end)
        end
        assert.equal(0, pool:snapshot().listeners)
        listener = assert(pool:listen "a")
        assert(pool:close(0))
        local note, err = listener:get()
        assert.is_nil(note)
        assert.equal("PoolClosed", err.class)
        assert.is_true(listener:close())
    end)

    it("is closed by the collector", function()
        local pool = assert(db.open())
        assert(pool:listen "a")
        collectgarbage()
        collectgarbage()
        assert.equal(0, pool:snapshot().listeners)
    end)

    it("says why it is not made", function()
        local pool = assert(weirpool.open { url = "postgresql://127.0.0.1:1/x", min_size = 0 })
        local listener, err = pool:listen "a"
        assert.is_nil(listener)
        assert.equal("ConnectError", err.class)
        assert.equal(0, pool:snapshot().listeners)
        pool:close(0)
    end)

    it("refuses what is wrong", function()
        local pool = assert(db.open())
        local listener = assert(pool:listen(("x"):rep(63)))
        for _, bad in ipairs { "", ("x"):rep(64), "a\0b", 3, true, {}, "\255" } do
            assert.has_error(function()
                listener:add(bad)
            end)
            assert.has_error(function()
                pool:listen { "a", bad }
            end)
        end
        local options = { { heartbeat = 0 }, { max_queued = 0 }, { max_queued = 1.5 }, { max_sise = 3 }, 7 }
        for _, bad in ipairs(options) do
            assert.has_error(function()
                pool:listen("a", bad)
            end)
        end
        assert.has_error(function()
            pool:listen()
        end)
        assert.has_error(function()
            listener:get(0)
        end)
        local ok, why = pcall(listener.get, listener, "soon")
        assert.is_false(ok)
        assert.matches("listen_spec.lua:%d+: timeout", why)
        assert.equal(1, pool:snapshot().listeners)
    end)

    it("is named where LISTEN is refused", function()
        local ok, why = pcall(function()
            return assert(db.open()):execute "listen a"
        end)
        assert.is_false(ok)
        assert.matches("pool%.listen%(%)", why)
    end)

    it("comes with notices", function()
        local seen, lines = {}, {}
        local pool = assert(db.open {
            on_notice = function(notice)
                seen[#seen + 1] = notice
                if notice.message == "high" then
                    error("on purpose", 0)
                end
            end,
        })
        weirpool.log(function(_, line)
            lines[#lines + 1] = line
        end)
        assert(pool:execute(RAISE))
        assert(pool:session(function(session)
            return session:execute "do $$ begin raise notice 'more'; end $$"
        end))
        weirpool.log(false)
        assert.equal(3, #seen)
        assert.matches("line 2 at RAISE", seen[1].where)
        seen[1].where = nil
        assert.same({
            severity = "NOTICE",
            sqlstate = "01234",
            message = "low ☂",
            detail = "d",
            hint = "h",
        }, seen[1])
        assert.same({ "WARNING", "high", nil, nil }, { seen[2].severity, seen[2].message, seen[2].hint })
        assert.equal(1, #lines)
        assert.matches("on_notice has failed: on purpose", lines[1])
        assert.has_error(function()
            db.open { on_notice = 3 }
        end)
    end)

    it("has notices logged where there is no hook", function()
        local lines = {}
        local pool = assert(db.open())
        weirpool.log(function(level, line)
            lines[#lines + 1] = level .. " " .. line
        end, "debug")
        assert(pool:execute(RAISE))
        weirpool.log(false)
        assert.matches("debug .*NOTICE: low", table.concat(lines, "\n"))
    end)
end)
