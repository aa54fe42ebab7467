std = "max"
max_line_length = 110
files["tests/lua"] = { std = "+busted" }
files["*.rockspec"] = { std = "+rockspec" }
files["lua/weirpool/meta.lua"] = { ignore = { "212", "241" }, max_line_length = false } -- definitions without bodies
