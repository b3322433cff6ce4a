-- The Lua front against the library: studies, trials, stores, samplers, models, errors, memory.
package.path = (arg[0]:match("^(.*)/") or ".") .. "/?.lua;" .. package.path
local house = require "house"
local drmad = require "drmad"
local equal, near, raises = house.equal, house.near, house.raises

local SMALL = {"data={kind: synthetic-digits, train: 200, valid: 100, test: 100}",
               "model={layers: [auto, 8, auto]}", "train={steps: 20, batch: 20}",
               "outer.steps=2", "retrain.seeds=1", "threads=1",
               "hyper=[{kind: lr, per: layer, phases: 2}, {kind: l2, per: unit-in}]"}

local function small(...)
    local list = {"output.dir=" .. house.folder() .. "/run"}
    for _, line in ipairs(SMALL) do list[#list + 1] = line end
    for _, line in ipairs({...}) do list[#list + 1] = line end
    return list
end

local function a_study_is_tuned()
    local s, events = drmad.study(nil, small()), 0
    s:on_event(function(stage, done, total, event)
        if stage == "tuning" then events = events + 1 end
        assert(type(done) == "number" and type(total) == "number" and event:sub(1, 1) == "{")
    end)
    local result = s:tune()
    equal(result.meta_steps, 2, "meta-steps")
    equal(events > 0, true, "events came")
    assert(s:text():find("retrained", 1, true), s:text())
    local rates, tuned = s:value("lr", 1, 0, 8)
    equal(tuned, true, "lr tuned")
    equal(#rates, 8)
    equal(rates[1], rates[8], "one rate a layer")
    local momentum, of = s:value("momentum", 1, 0, 8)
    equal(of, false, "momentum is a constant")
    equal(momentum[1], momentum[2])
    raises("E_USAGE", "room for 3 values", function() s:value("lr", 1, 0, 3) end)
    local html = house.folder() .. "/report.html"
    drmad.report(result.folder or s:text():match("written to (%S+)"), html)
    local page = io.open(html):read("*a")
    assert(page:find("<svg", 1, true), "the report has plots")
end

-- The front adds nothing: the command gives the same bits.
local function the_command_gives_the_same()
    local list = small()
    local result = drmad.study(nil, list):train()
    local build = os.getenv("DRMAD_LIBRARY") or house.root .. "/build/release/libdrmad.so"
    local folder = house.folder()
    local file = io.open(folder .. "/study.yaml", "w")
    file:write("name: study\n")
    file:close()
    local line = {build:match("^(.*)/") .. "/drmad train " .. folder .. "/study.yaml -q --json"}
    list[1] = "output.dir=" .. folder .. "/run"
    for _, each in ipairs(list) do line[#line + 1] = "'" .. each .. "'" end
    local p = io.popen(table.concat(line, " ") .. " 2>&1")
    local text = p:read("*a")
    p:close()
    local loss = text:match('"test_loss": ?([%d.e+-]+)')
    assert(loss, text)
    local mine = require("cjson").encode(result):match('"test_loss": ?([%d.e+-]+)')
    near(tonumber(mine), tonumber(loss), 1e-13, "test loss")
end

local function checks_and_estimates()
    local s = drmad.study(nil, small("dtype=f64"))
    equal(s:check().wrong, 0, "wrong slices")
    assert(s:estimate().runs > 1)
    assert(#s:why().sensitivities >= 4)
    assert(s:explain() and #s:text() > 100)
end

local function bad_input_is_an_error()
    raises("E_CONFIG", "outer.stepz", function() drmad.study(nil, {"outer.stepz=1"}) end)
    local e = raises("E_CONFIG", "no.yaml", function() drmad.study("/no.yaml") end)
    equal(e.exit, 2, "exit status")
    raises("E_MISSING", "device: cuda", function() drmad.study(nil, small("device=cuda")):train() end)
    local s = drmad.study(nil, small())
    s:close()
    raises("E_USAGE", "closed", function() s:tune() end)
    equal(drmad.is_error("text"), false)
end

local function an_error_in_a_callback_comes_out()
    local s, mine = drmad.study(nil, small()), {}
    s:on_event(function() error(mine) end)
    local ok, e = pcall(s.tune, s)
    equal(ok, false)
    assert(e == mine, "the very same object")
end

local function a_context_stops_a_run()
    local whole = drmad.study(nil, small("outer.steps=20")):tune()
    local s = drmad.study(nil, small("outer.steps=20"))
    s:on_event(function(stage, done)
        if stage == "tuning" and done >= 1 then s.context:stop() end
    end)
    raises("E_INTERRUPTED", "", function() s:tune() end)
    s:on_event(function() end)
    local resumed = s:tune({resume = true})
    equal(resumed.meta_steps, whole.meta_steps, "meta-steps after resuming")
    equal(resumed.best_objective, whole.best_objective, "objective after resuming")
end

local function searching(n, folder)
    return drmad.study(nil, {"name=hill", "store=sqlite:" .. folder .. "/runs.db", "seed=3",
                             "search.trials=" .. n, "search.sampler=tpe"})
end

local function a_search_runs_here()
    local folder = house.folder()
    local s = searching(12, folder)
    local function hill(trial)
        local x = trial:suggest_float("x", -2, 2)
        local k = trial:suggest_int("k", 1, 8, {log = true})
        local c = trial:suggest_categorical("c", {"a", "b", true})
        trial:report(x, 1)
        trial:set_attr("note", {k = k})
        if trial.number == 3 then trial:tell("PRUNED") return end
        return x * x + k + (c == "a" and 0 or 1)
    end
    s:optimize(hill)
    local store = drmad.store("sqlite:" .. folder .. "/runs.db")
    local trials = store:trials("hill")
    equal(#trials, 12, "trials")
    local states = {}
    for _, t in ipairs(trials) do states[t.state] = (states[t.state] or 0) + 1 end
    equal(states.PRUNED, 1, "pruned")
    equal(states.COMPLETE, 11, "complete")
    assert(store:export("hill"):find("params_x", 1, true) or store:text() ~= "")
    assert(store:best("hill"))
    assert(store:report("hill"):find("<html", 1, true))
end

local function an_error_in_the_objective_comes_out()
    local folder = house.folder()
    local s = searching(5, folder)
    local ok, e = pcall(s.optimize, s, function(trial)
        if trial.number == 1 then error("broken", 0) end
        return trial:suggest_float("x", 0, 1)
    end)
    equal(ok, false)
    equal(e, "broken")
    local again = searching(5, folder)
    again:optimize(function(trial) return trial:suggest_float("x", 0, 1) end)
    local failed = 0
    for _, t in ipairs(drmad.store("sqlite:" .. folder .. "/runs.db"):trials("hill")) do
        if t.state == "FAIL" then failed = failed + 1 end
    end
    equal(failed, 1, "failed trials")
end

local function trials_are_asked_and_told()
    local s = searching(3, house.folder())
    equal(s:enqueue({x = 0.25}), 0, "number")
    local t = s:ask()
    equal(t:suggest_float("x", 0, 1), 0.25)
    equal(t:suggest_float("x", 0, 1), 0.25, "the same at the second call")
    t:beat()
    equal(t:should_prune(), false)
    local same = s:trial(t:token())
    equal(same.number, 0)
    same:tell(1.5)
    raises("E_CONFIG", "low 3", function() t:suggest_float("y", 3, 1) end)
    equal(s:add({state = "COMPLETE", values = {0.75}, params = {x = 0.5}, distributions = {
        x = {name = "FloatDistribution", attributes = {low = 0, high = 1, log = false}}}}), 1)
    local declared = drmad.study(nil, {"name=told", "store=sqlite:" .. house.folder() .. "/t.db",
                                       "parameters=[{name: x, low: 0, high: 1}]"})
    equal(declared:observe({x = 0.5}, 0.75), 0, "number")
    local third = s:ask()
    third:suggest_float("x", 0, 1)
    third:tell(2.5)
    equal(s:ask(), nil, "no more trials")
end

local function a_sampler_finds_the_hill()
    local s = drmad.sampler({sampler = "gp", seed = 1})
    s:float("x", -5, 5)
    s:int("k", 1, 4)
    s:categorical("c", {"far", "near"})
    local best = math.huge
    for _ = 1, 30 do
        local p, number = s:suggest()
        local value = (p.x - 1) ^ 2 + (p.k - 3) ^ 2 + (p.c == "near" and 0 or 2)
        s:observe(number, p, value)
        best = math.min(best, value)
    end
    assert(best < 0.05, "best is " .. best)
    local p = s:suggest({k = 2})
    equal(p.k, 2, "a value that was fixed")
    raises("E_USAGE", "none of the choices", function() s:observe(nil, {c = "away"}, 1) end)
end

-- l_i(w) = 1/2 sum_j a_j (w_j - i/B)^2: its run and hypergradient have closed forms.
local function quadratic(folder, change)
    local a, B, n = {1, 0.5, 2}, 4, 3
    local target = function(step, seed) return (step % 2) * 0.5 end
    local options = {
        type = "double", tensors = {{name = "layers.0.weight", shape = {3, 1}}},
        data = {train = 8, valid = 4, test = 4, batch = B},
        start = function(seed, w) for j = 0, n - 1 do w[j] = 1 + j end end,
        gradient = function(seed, step, w, v, g)
            local loss, c = 0, target(step)
            for j = 0, n - 1 do
                g[j] = a[j + 1] * (w[j] - c)
                loss = loss + 0.5 * a[j + 1] * (w[j] - c) ^ 2
            end
            return loss
        end,
        product = function(seed, step, w, u, v, way, g, hu, rows)
            for j = 0, n - 1 do
                if g then g[j] = a[j + 1] * (w[j] - target(step)) end
                hu[j] = a[j + 1] * u[j]
            end
        end,
        evaluate = function(part, examples, w, u, dw)
            local loss, slope = 0, 0
            for j = 0, n - 1 do
                loss = loss + 0.5 * w[j] * w[j]
                if dw then dw[j] = w[j] end
                if u then slope = slope + w[j] * u[j] end
            end
            return loss, nil, slope
        end,
    }
    for key, value in pairs(change or {}) do options[key] = value end
    return drmad.model("quadratic", options):study({
        "name=quadratic", "dtype=f64", "train.steps=6", "optimizer={lr: 0.1, momentum: 0.5}",
        "hyper=[{kind: lr, per: layer, phases: 2}, {kind: weight_decay, per: layer}]",
        "outer.steps=3", "retrain.seeds=1", "output.dir=" .. folder .. "/run", "threads=1"})
end

local function a_model_in_lua_is_checked_and_tuned()
    local s = quadratic(house.folder())
    equal(s:check().wrong, 0, "wrong slices")
    s = quadratic(house.folder())
    local result = s:tune()
    assert(result.path[3].objective < result.path[1].objective, "it gets better")
end

local function an_error_in_a_model_comes_out()
    local s = quadratic(house.folder(), {gradient = function() error("no gradient", 0) end})
    local ok, e = pcall(s.tune, s)
    equal(ok, false)
    equal(e, "no gradient")
end

local function handles_are_freed_in_any_order()
    for _ = 1, 3 do
        local context = drmad.context({threads = 1})
        local s = drmad.study(nil, small(), context)
        context:close()
        context = nil
        collectgarbage()
        assert(s:estimate())
        s = nil
        collectgarbage()
    end
    local before = collectgarbage("count")
    for _ = 1, 50 do quadratic("/tmp/none") end
    collectgarbage()
    collectgarbage()
    assert(collectgarbage("count") - before < 500, "tables pile up")
end

local function the_build_is_told()
    equal(drmad.info().version, drmad.version)
    assert(drmad.info().isa)
end

local function absolute_root() return io.popen("cd " .. house.root .. " && pwd"):read("*l") end

local function examples_run()
    local line = "cd %s && luajit %s/lua/examples/%s.lua data.kind=synthetic-digits "
        .. "data.train=400 data.valid=100 data.test=100 train.steps=%d outer.steps=2 "
        .. "retrain.seeds=1 2>&1; echo \"status $?\""
    local root = absolute_root()
    for name, words in pairs({drmad_mnist = "L2 of the 784 inputs",
                              lr_drmad_mnist = "learning rates by layer and phase"}) do
        local p = io.popen(line:format(house.folder(), root, name, 500))
        local text = p:read("*a")
        assert(text:find(words, 1, true) and text:find("status 0", 1, true), text)
    end
    local text = io.popen(line:format(house.folder(), root, "cuda_drmad_mnist", 20)):read("*a")
    assert(text:find("device: cuda: ", 1, true) and text:find("status 6", 1, true), text)
end

local function the_page_runs()
    local page = io.open(house.root .. "/docs/LUA.md"):read("*a")
    local script = page:match("```lua\n(.-)```")
    local folder = house.folder()
    local file = io.open(folder .. "/page.lua", "w")
    file:write((script:gsub('"lua/%?%.lua', '"' .. absolute_root() .. "/lua/?.lua")))
    file:close()
    local text = io.popen("cd " .. folder .. " && luajit page.lua 2>&1"):read("*a")
    assert(text:find("rate of layer 0 at step 0:", 1, true), text)
    assert(io.open(folder .. "/report.html"), "a report")
end

house.main {
    {"a_study_is_tuned", a_study_is_tuned},
    {"the_command_gives_the_same", the_command_gives_the_same},
    {"checks_and_estimates", checks_and_estimates},
    {"bad_input_is_an_error", bad_input_is_an_error},
    {"an_error_in_a_callback_comes_out", an_error_in_a_callback_comes_out},
    {"a_context_stops_a_run", a_context_stops_a_run},
    {"a_search_runs_here", a_search_runs_here},
    {"an_error_in_the_objective_comes_out", an_error_in_the_objective_comes_out},
    {"trials_are_asked_and_told", trials_are_asked_and_told},
    {"a_sampler_finds_the_hill", a_sampler_finds_the_hill},
    {"a_model_in_lua_is_checked_and_tuned", a_model_in_lua_is_checked_and_tuned},
    {"an_error_in_a_model_comes_out", an_error_in_a_model_comes_out},
    {"handles_are_freed_in_any_order", handles_are_freed_in_any_order},
    {"the_build_is_told", the_build_is_told},
    {"examples_run", examples_run},
    {"the_page_runs", the_page_runs},
}
