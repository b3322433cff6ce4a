-- What the tests of the Lua front share: a runner that prints PASS and FAIL lines.
local house = {}
local root = arg[0]:match("^(.*)/tests/lua/") or "."
package.path = root .. "/lua/?.lua;" .. package.path
house.root = root

function house.equal(got, want, what)
    if got ~= want then
        error(("%s: %s, not %s"):format(what or "value", tostring(got), tostring(want)), 2)
    end
end

function house.near(got, want, tolerance, what)
    if not (math.abs(got - want) <= tolerance * math.max(1, math.abs(want))) then
        error(("%s: %.17g, not %.17g"):format(what or "value", got, want), 2)
    end
end

--- call() must raise an error of the library called `name`, with `words` in its message.
function house.raises(name, words, call)
    local drmad = require "drmad"
    local ok, e = pcall(call)
    if ok then error(name .. " was not raised", 2) end
    if not drmad.is_error(e, name) then error("raised " .. tostring(e) .. ", no " .. name, 2) end
    if not tostring(e):find(words, 1, true) then
        error(("message %q has no %q"):format(tostring(e), words), 2)
    end
    return e
end

--- A new folder, removed at the end.
local folders = {}
function house.folder()
    local p = io.popen("mktemp -d")
    local path = p:read("*l")
    p:close()
    folders[#folders + 1] = path
    return path
end

--- Runs {name, function} pairs; words on the command line select.
function house.main(tests)
    local failed = 0
    for _, test in ipairs(tests) do
        local name, fn = test[1], test[2]
        if not arg[1] or name:find(arg[1], 1, true) then
            local ok, e = xpcall(fn, function(e)
                return type(e) == "string" and debug.traceback(e, 2) or e
            end)
            collectgarbage()
            if ok then
                print("PASS " .. name)
            else
                failed = failed + 1
                print("  " .. tostring(e):gsub("\n", "\n  "))
                print("FAIL " .. name)
            end
            io.stdout:flush()
        end
    end
    for _, path in ipairs(folders) do os.execute("rm -rf '" .. path .. "'") end
    os.exit(failed == 0 and 0 or 1, true)
end

return house
