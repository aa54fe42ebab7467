-- Sizing by pods; the table of all combinations is tests/core/test_sizing.c.
local support = require "support"
local weirpool = require "weirpool"

describe("sizing", function()
    it("gives a pool its share", function()
        for _, case in ipairs {
            { {}, 20 },
            { { pod_count = 3 }, 10 },
            { { pod_count = false, connections_per_pod = 15 }, 15 },
            { { pod_count = 3, connections_per_pod = 15, max_size = 12 }, 12 },
            { { pod_count = 30, connection_budget = 100, connection_reserve = 10 }, 3 },
            { { pod_count = 4, connection_budget = 100, max_size = 50, max_overflow = 5 }, 20 },
        } do
            case[1].url, case[1].environment = "sqlite://", false
            local pool = assert(weirpool.open(case[1]))
            assert.equal(case[2], pool:snapshot().max_size)
            assert.equal(case[2], pool:options().max_size)
            assert(pool:close())
        end
    end)

    it("refuses what does not go together", function()
        for words, options in pairs {
            ["pod_count, which is not given"] = { connection_budget = 100 },
            ["connection_reserve=9 is a part of"] = { connection_reserve = 9 },
            ["leaves no connection to a pool"] = { pod_count = 10, connection_budget = 9 },
            ["min_size=5 is above the 4"] = { pod_count = 10, connection_budget = 40, min_size = 5 },
        } do
            options.url, options.environment = "sqlite://", false
            local pool, err = weirpool.open(options)
            assert.is_nil(pool)
            assert.equal("OptionError", err.class)
            assert.is_truthy(err.message:find(words, 1, true), err.message)
        end
    end)

    it("reads POD_COUNT", function()
        local script = [[
            local pool, err = require "weirpool".open { url = "sqlite://", connection_budget = 28 }
            print(pool and pool:snapshot().max_size or err.message)]]
        assert.equal("7\n", support.run(script, "POD_COUNT=4"))
        local output = support.run(script, "POD_COUNT=four")
        assert.matches("^POD_COUNT in the environment: pod_count=four is", output)
    end)
end)
