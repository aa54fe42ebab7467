-- busted under an interpreter of our choice: `busted --lua=…` re-executes itself through a shell, which dies
-- when TSan's runtime is preloaded. Call: <interpreter> run.lua [busted's options] folder
local here = arg[0]:match("^(.*)/[^/]*$") or "."
package.path = here .. "/?.lua;" .. package.path
local first = 0
while arg[first - 1] do
    first = first - 1
end
_G.WEIR_INTERPRETER = arg[first]
require "busted.runner" { standalone = false }
