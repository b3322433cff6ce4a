--- Tunes hyperparameters of neural networks from LuaJIT: a front over drmad's C interface.
--
--   local drmad = require "drmad"
--   local study = drmad.study("study.yaml", {"outer.steps=5"})
--   local result = study:tune()                 -- the result as a table; study:text() for people
--   local rates = study:value("lr", 0, 0, 100)  -- 100 numbers: tensor 0 at step 0
--
-- A search over whole runs, here or on many machines over one store:
--
--   local search = drmad.study(nil, {"name=mnist", "store=sqlite:runs.db", "search.trials=50"})
--   search:optimize(function(trial)
--       return train(trial:suggest_float("lr", 1e-4, 1, {log = true}))
--   end)
--
-- and drmad.model for losses that Lua computes itself. docs/LUA.md has it all.
--
-- A call that fails raises an error object: e.name ("E_CONFIG"), e.status, e.exit (the exit status
-- for a command), tostring(e) the message. What a callback raises comes out of the call as it was.
-- Handles are freed when they are collected, or at once by :close(). One thread at a time.
local ffi = require "ffi"
local abi = require "drmad.abi"
local core = require "drmad.core"

jit.off(true, true) -- see core.lua

local C, settings, strings, pointer_of = core.C, core.settings, core.strings, core.pointer_of
local drmad = {version = abi.version, context = core.context, is_error = core.is_error}

for _, part in ipairs {"drmad.study", "drmad.search", "drmad.model"} do
    for name, fn in pairs(require(part)) do
        if name ~= "adopt" then drmad[name] = fn end
    end
end


--- What this build is and what it runs on: {version =, git =, compiler =, isa =, cpu =, ...}.
function drmad.info(context)
    context = context or drmad.context()
    local out, buffer, i = {}, ffi.new("char[256]"), 0
    while C.drmad_info_key(i) ~= nil do
        local key = ffi.string(C.drmad_info_key(i))
        context:_check(C.drmad_info(pointer_of(context), key, buffer, 256))
        out[key], i = ffi.string(buffer), i + 1
    end
    return out
end

--- The run in `folder` as one HTML page: report("runs/mnist", "report.html").
function drmad.report(folder, file, options)
    local context, list = drmad.context(), settings(options)
    list[#list + 1] = "file=" .. file
    local lines, n, kept = strings(list)
    context:_check(C.drmad_run_report(pointer_of(context), folder, lines, n))
end

--- Downloads the data set `name` ("mnist") into `dir` and checks it.
function drmad.get_data(name, dir)
    local context = drmad.context()
    context:_check(C.drmad_data_get(pointer_of(context), name, dir))
end

return drmad
