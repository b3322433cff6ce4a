-- Studies and their trials: include/drmad/study.h and trial.h.
local ffi = require "ffi"
local core = require "drmad.core"

jit.off(true, true) -- see core.lua

local C, failure, class, adopt = core.C, core.failure, core.class, core.adopt
local pointer_of, callback, settings = core.pointer_of, core.callback, core.settings
local strings, text_of, decoded = core.strings, core.text_of, core.decoded
local encoded, json_library = core.encoded, core.json_library

local api = {}
local Study, Trial = class(), class()

function api.adopt(context, pointer, model)
    local owners = {context}
    if model then owners[2] = model end
    local self = adopt(Study, pointer, C.drmad_study_free, owners)
    self.context = context
    return self
end

--- A study from the file at `path` (nil: from the overrides alone). overrides: {"train.steps=100",
-- ...} or {["train.steps"] = 100}. Raises E_CONFIG naming file, line and column.
function api.study(path, overrides, context)
    context = context or core.context()
    local lines, n, kept = strings(settings(overrides))
    local out = ffi.new("drmad_study *[1]")
    context:_check(C.drmad_study_load(pointer_of(context), path, lines, n, out))
    return api.adopt(context, out[0])
end

--- The study as it is kept in a store: `target` is URL#NAME. options: trust (run a command that
-- comes from the store), overrides, context.
function api.open(target, options)
    options = options or {}
    local context = options.context or core.context()
    local lines, n, kept = strings(settings(options.overrides))
    local out = ffi.new("drmad_study *[1]")
    context:_check(C.drmad_study_open(pointer_of(context), target, options.trust and 1 or 0, lines,
                                      n, out))
    return api.adopt(context, out[0])
end

--- fn(stage, done, total, event) with every event; event is the JSON text. An error in it ends the
-- call under way, and comes out of it.
function Study:on_event(fn)
    local listening = self.context:_listening(fn)
    self._event = callback(self, "drmad_event_fn", function(_, stage, done, total, json)
        listening(text_of(stage), done, total, text_of(json))
    end)
    C.drmad_study_set_events(pointer_of(self), self._event, nil)
end

function Study:_call(name, ...)
    if not self._event then self:on_event(function() end) end -- so that Ctrl-C is seen
    self.context:_check(C[name](pointer_of(self), ...))
    return self:result()
end

-- Each writes its files under the study's output folder and gives its result as a table.
-- options: resume (go on from the checkpoint there).
local function resumes(options) return options and options.resume and 1 or 0 end

function Study:tune(options) return self:_call("drmad_study_tune", resumes(options)) end
function Study:train(options) return self:_call("drmad_study_train", resumes(options)) end
function Study:why() return self:_call("drmad_study_why") end
function Study:check() return self:_call("drmad_study_check") end
function Study:explain() return self:_call("drmad_study_explain") end
function Study:estimate() return self:_call("drmad_study_dry_run") end
function Study:data() return self:_call("drmad_study_data") end
function Study:replay() return self:_call("drmad_study_replay") end

--- Net2Net: weights in the safetensors file `weights` become those of the grown net, in `file`.
-- morphs: {"wider layers.0=100", "deeper layers.1"}; noise parts the copies of wider layers.
function Study:grow(weights, file, morphs, noise)
    local lines, n, kept = strings(morphs)
    return self:_call("drmad_study_grow", weights, file, lines, n, noise or 0)
end

--- The last call's result: as a table (nil before any), as JSON, as text for people.
function Study:result() return decoded(self:json()) end
function Study:json() return ffi.string(C.drmad_study_result_json(pointer_of(self))) end
function Study:text() return ffi.string(C.drmad_study_result_text(pointer_of(self))) end

--- After tune or why: the value of hyperparameter `kind` at `step` for parameter tensor number
-- `tensor` (-1 where the kind is not about tensors), spread over the tensor's `count` elements.
-- Gives a list, and whether the kind was tuned there.
function Study:value(kind, tensor, step, count)
    local out, tuned = ffi.new("double[?]", count), ffi.new("int[1]")
    self.context:_check(C.drmad_study_value(pointer_of(self), kind, tensor, step, out, count,
                                            tuned))
    local list = {}
    for i = 1, count do list[i] = out[i - 1] end
    return list, tuned[0] ~= 0
end

-- ---- trials ----

local function adopt_trial(study, pointer)
    local self = adopt(Trial, pointer, C.drmad_trial_free, {study})
    self.study, self.context = study, study.context
    self.number = tonumber(C.drmad_trial_number(pointer))
    return self
end

--- The next trial, or nil once the study has its search.trials. End it with trial:tell.
function Study:ask()
    local out = ffi.new("drmad_trial *[1]")
    self.context:_check(C.drmad_study_ask(pointer_of(self), out))
    if out[0] == nil then return nil end
    return adopt_trial(self, out[0])
end

--- The trial behind a token of trial:token(), made in this process or another.
function Study:trial(token)
    local out = ffi.new("drmad_trial *[1]")
    self.context:_check(C.drmad_study_trial(pointer_of(self), token, -1, out))
    return adopt_trial(self, out[0])
end

--- Adds a trial with whatever it has: {state = "COMPLETE", values = {0.5}, params = {lr = 0.1},
-- ...}, docs of drmad_study_add. Gives its number.
function Study:add(trial)
    local number = ffi.new("int64_t[1]")
    self.context:_check(C.drmad_study_add(pointer_of(self), encoded(trial), number))
    return tonumber(number[0])
end

--- Queues a point, {lr = 0.1}: what it lacks is suggested when it runs. Gives its number.
function Study:enqueue(params) return self:add({state = "WAITING", params = params}) end

--- Adds a finished trial that ran elsewhere, in a study with `parameters`: a point and its value,
-- or one value an objective.
function Study:observe(params, values)
    if type(values) == "number" then values = {values} end
    local number = ffi.new("int64_t[1]")
    self.context:_check(C.drmad_study_observe(pointer_of(self), encoded(params),
                                              ffi.new("double[?]", #values, values), #values,
                                              number))
    return tonumber(number[0])
end

function Study:set_attr(key, value)
    self.context:_check(C.drmad_study_set_attr(pointer_of(self), key, json_library().encode(value)))
end

--- Works on the study until it has its trials. fn(trial) gives the objective's value (several
-- objectives: a list), or ends the trial itself by trial:tell("PRUNED"). An error fails the trial
-- and comes out of this call; the study can be gone on with.
function Study:optimize(fn)
    local body = self.context:_guarded(function(_, pointer, values, n)
        local trial = setmetatable({_handle = {pointer = pointer, users = 0}, study = self,
                                    context = self.context}, Trial)
        trial.number = tonumber(C.drmad_trial_number(pointer))
        local given = fn(trial)
        trial._handle.closed = true -- it is the worker's
        if trial.told then return end
        if type(given) == "number" then given = {given} end
        if type(given) ~= "table" or #given ~= n then
            error(failure("E_USAGE", ("the objective gave no %s"):format(
                n == 1 and "number" or "list of " .. n .. " numbers")))
        end
        for i = 1, n do values[i - 1] = given[i] end
    end)
    local function stopping(...)
        local status = body(...)
        if self.context._raised then self.context:stop() end
        return status
    end
    C.drmad_study_set_objective(pointer_of(self), callback(self, "drmad_objective_fn", stopping),
                                nil)
    return self:_call("drmad_study_work")
end

--- options of suggest_float and suggest_int: log, step.
function Trial:suggest_float(name, low, high, options)
    options = options or {}
    local out = ffi.new("double[1]")
    self.context:_check(C.drmad_trial_suggest_real(pointer_of(self), name, low, high,
                                                   options.step or 0, options.log and 1 or 0, out))
    return out[0]
end

function Trial:suggest_int(name, low, high, options)
    options = options or {}
    local out = ffi.new("int64_t[1]")
    self.context:_check(C.drmad_trial_suggest_int(pointer_of(self), name, low, high,
                                                  options.step or 1, options.log and 1 or 0, out))
    return tonumber(out[0])
end

--- One of `choices`: a list of numbers, strings or booleans.
function Trial:suggest_categorical(name, choices)
    local texts, index = {}, ffi.new("int[1]")
    for i, choice in ipairs(choices) do texts[i] = json_library().encode(choice) end
    local lines, n, kept = strings(texts)
    self.context:_check(C.drmad_trial_suggest_choice(pointer_of(self), name, lines, n, index))
    return choices[index[0] + 1]
end

function Trial:params() return decoded(ffi.string(C.drmad_trial_params_json(pointer_of(self)))) end
function Trial:token() return text_of(C.drmad_trial_token(pointer_of(self))) end

--- An intermediate value; should_prune() then says whether to go on.
function Trial:report(value, step)
    self.context:_check(C.drmad_trial_report(pointer_of(self), step, value))
end

function Trial:should_prune()
    local out = ffi.new("int[1]")
    self.context:_check(C.drmad_trial_should_prune(pointer_of(self), out))
    return out[0] ~= 0
end

--- d objective / d parameter, {lr = -0.31}; told before the trial ends.
function Trial:set_gradient(gradient)
    self.context:_check(C.drmad_trial_set_gradient(pointer_of(self), encoded(gradient)))
end

function Trial:set_attr(key, value)
    self.context:_check(C.drmad_trial_set_attr(pointer_of(self), key, json_library().encode(value)))
end

function Trial:beat() self.context:_check(C.drmad_trial_beat(pointer_of(self))) end
function Trial:release() self.context:_check(C.drmad_trial_release(pointer_of(self))) end

--- Ends the trial: tell(0.31), tell({a, b}), tell("PRUNED") or tell("FAIL").
function Trial:tell(values)
    local state = type(values) == "string" and values or "COMPLETE"
    if type(values) == "number" then values = {values} end
    local n = state == "COMPLETE" and #values or 0
    local list = ffi.new("double[?]", n + 1, n > 0 and values or {})
    self.context:_check(C.drmad_trial_tell(pointer_of(self), state, list, n))
    self.told = true
end

return api
