-- The environment's variables. Lua cannot set them, so each case is a process of its own.
local support = require "support"

-- As the core's table has them, in the order of the options.
local SUPPORTED = {
    { "DATABASE_URL", "'sqlite://?max_size=7'", "max_size", 7 },
    { "POD_COUNT", "3", "pod_count", 3 },
    { "DB_MIN_POOL_SIZE", "3", "min_size", 3 },
    { "DB_MAX_POOL_SIZE", "30", "max_size", 30 },
    { "DB_POOL_SIZE", "31", "max_size", 31 },
    { "DB_MAX_OVERFLOW", "10", "max_overflow", 10 },
    { "DB_CONNECT_TIMEOUT", "2.5", "connect_timeout", 2.5 },
    { "DB_COMMAND_TIMEOUT", "12", "command_timeout", 12 },
    { "DB_CHECKOUT_TIMEOUT", "0.25", "checkout_timeout", 0.25 },
    { "DB_POOL_TIMEOUT", "none", "checkout_timeout", false },
    { "DB_POOL_RECYCLE", "1800", "max_lifetime", 1800 },
    { "DB_CIRCUIT_FAILURE_THRESHOLD", "3", "circuit_failure_threshold", 3 },
    { "DB_CIRCUIT_RECOVERY_TIMEOUT", "120", "circuit_recovery_timeout", 120 },
    { "DB_HEALTH_CHECK_INTERVAL", "30", "health_check_interval", 30 },
    { "DB_ENABLE_MONITORING", "false", "monitoring", false },
    { "DB_METRICS_INTERVAL", "30", "monitoring_interval", 30 },
    { "DB_MAX_CHECKOUT_TIME", "2.0", "alert_checkout_time", 2 },
    { "DB_MAX_QUERY_TIME", "2.5", "alert_query_time", 2.5 },
    { "DB_CONNECTION_FAILURE_THRESHOLD", "0.05", "alert_checkout_failure_rate", 0.05 },
    { "DB_ECHO", "true", "echo", true },
}

local function shown(environment, options, expression)
    local script = [[
        local pool, err = require "weirpool".open {%s}
        if not pool then print(err.class .. ": " .. err.message) return end
        local options = pool:options()
        print(%s)]]
    local output = support.run(script:format(options, expression or "options.max_size"), environment)
    return (output:gsub("\n$", ""))
end

describe("the environment", function()
    it("sets each option", function()
        local known = { DATABASE_URL = true }
        for _, option in ipairs(require "weirpool".options()) do
            for _, name in ipairs(option.variables) do
                known[name] = option.name
            end
        end
        for _, case in ipairs(SUPPORTED) do
            local variable, text, option, value = (table.unpack or unpack)(case)
            local url = variable == "DATABASE_URL" and "" or "url = 'sqlite://'"
            local expression = ("options.%s == %s"):format(option, tostring(value))
            assert.equal("true", shown(variable .. "=" .. text, url, expression), variable)
            assert.equal("false", shown(variable .. "=", "url = 'sqlite://'", expression), variable)
            assert.is_truthy(known[variable] == true or known[variable] == option, variable)
            known[variable] = nil
        end
        assert.is_nil(next(known))
    end)

    it("gives way to the URL's query, and that to the argument", function()
        local environment = "DB_POOL_SIZE=31 DB_MAX_POOL_SIZE=30"
        assert.equal("30", shown(environment, "url = 'sqlite://'"))
        assert.equal("20", shown(environment, "url = 'sqlite://', environment = false"))
        assert.equal("12", shown(environment, "url = 'sqlite://?max_size=12'"))
        assert.equal("20", shown(environment, "url = 'sqlite://?max_size=12', max_size = 20"))
    end)

    it("is named in errors", function()
        local output = shown("DB_MAX_POOL_SIZE=abc", "url = 'sqlite://'")
        assert.matches("OptionError: DB_MAX_POOL_SIZE in the environment: max_size=abc is no whole", output)
        output = shown("DATABASE_URL=", "")
        assert.matches("OptionError: there is no URL, and DATABASE_URL is not set", output)
    end)
end)
