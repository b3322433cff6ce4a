-- Stores and samplers: include/drmad/store.h and sampler.h.
local ffi = require "ffi"
local core = require "drmad.core"

jit.off(true, true) -- see core.lua

local C, failure, class, adopt = core.C, core.failure, core.class, core.adopt
local pointer_of, settings, strings = core.pointer_of, core.settings, core.strings
local decoded, json_library = core.decoded, core.json_library

local api = {}

local Store = class()

--- Opens the store at `url` (nil: DRMAD_STORAGE, then sqlite:drmad.db). options: create,
-- read_only, patience.
function api.store(url, options, context)
    context = context or core.context()
    local lines, n, kept = strings(settings(options))
    local out = ffi.new("drmad_store *[1]")
    context:_check(C.drmad_store_open(pointer_of(context), url, lines, n, out))
    local self = adopt(Store, out[0], C.drmad_store_close, {context})
    self.context = context
    return self
end

function Store:_call(name, ...)
    self.context:_check(C[name](pointer_of(self), ...))
    return decoded(self:json())
end

function Store:json() return ffi.string(C.drmad_store_result_json(pointer_of(self))) end
function Store:text() return ffi.string(C.drmad_store_result_text(pointer_of(self))) end
function Store:list() return self:_call("drmad_store_list") end
function Store:show(study) return self:_call("drmad_store_show", study) end
function Store:best(study) return self:_call("drmad_store_best", study) end
function Store:delete(study) self.context:_check(C.drmad_store_delete(pointer_of(self), study)) end

--- Makes the study, or finds it: gives whether it was made. directions: "minimize", ...
function Store:create(study, directions)
    local made = ffi.new("int[1]")
    self.context:_check(C.drmad_store_create(pointer_of(self), study, directions or "minimize",
                                             made))
    return made[0] ~= 0
end

--- A list of the study's trials. options: after, states.
function Store:trials(study, options)
    local lines, n, kept = strings(settings(options))
    return self:_call("drmad_store_trials", study, lines, n).trials
end

--- The study as a table (CSV or JSON) or as one HTML page; both give the text unless `file` is
-- among the options.
function Store:export(study, options)
    local lines, n, kept = strings(settings(options))
    self.context:_check(C.drmad_store_export(pointer_of(self), study, lines, n))
    return self:text()
end

function Store:report(study, options)
    local lines, n, kept = strings(settings(options))
    self.context:_check(C.drmad_store_report(pointer_of(self), study, lines, n))
    return self:text()
end

-- ---- samplers ----

local Sampler = class()

--- A sampler without a store. options: sampler (gp, tpe, cmaes, sobol, random), direction, seed,
-- startup, gradients. Points are tables by name.
function api.sampler(options, context)
    context = context or core.context()
    local lines, n, kept = strings(settings(options))
    local out = ffi.new("drmad_sampler *[1]")
    context:_check(C.drmad_sampler_new(pointer_of(context), lines, n, out))
    local self = adopt(Sampler, out[0], C.drmad_sampler_free, {context})
    self.context, self._params, self._next = context, {}, 0
    return self
end

function Sampler:_add(name, kind, attributes, choices)
    local index = ffi.new("int[1]")
    local text = json_library().encode({name = kind, attributes = attributes})
    self.context:_check(C.drmad_sampler_add_param(pointer_of(self), name, text, index))
    self._params[index[0] + 1] = {name = name, choices = choices}
end

function Sampler:float(name, low, high, options)
    options = options or {}
    local null = json_library().null
    self:_add(name, "FloatDistribution", {low = low, high = high, log = options.log or false,
                                          step = options.step or null})
end

function Sampler:int(name, low, high, options)
    options = options or {}
    self:_add(name, "IntDistribution", {low = low, high = high, log = options.log or false,
                                        step = options.step or 1})
end

function Sampler:categorical(name, choices)
    self:_add(name, "CategoricalDistribution", {choices = choices}, choices)
end

local function index_of(choices, value)
    for i, choice in ipairs(choices) do
        if choice == value then return i - 1 end
    end
    error(failure("E_USAGE", tostring(value) .. " is none of the choices"), 4)
end

-- A table by name as C's array: what it lacks is NaN.
function Sampler:_array(point)
    local x = ffi.new("double[?]", #self._params + 1)
    for i, p in ipairs(self._params) do
        local value = point and point[p.name]
        if value == nil then value = 0 / 0
        elseif p.choices then value = index_of(p.choices, value) end
        x[i - 1] = value
    end
    return x
end

--- The next point, and its number for observe. `fixed`: values that the point must have.
function Sampler:suggest(fixed)
    local number, x, point = self._next, self:_array(fixed), {}
    self.context:_check(C.drmad_sampler_suggest(pointer_of(self), number, x))
    self._next = number + 1
    for i, p in ipairs(self._params) do
        local value = x[i - 1]
        point[p.name] = p.choices and p.choices[value + 1] or value
    end
    return point, number
end

--- What came of a point: its value, or state "PRUNED" or "FAIL". number nil: a point of one's own.
function Sampler:observe(number, point, value, state)
    if number == nil then number, self._next = self._next, self._next + 1 end
    self.context:_check(C.drmad_sampler_observe(pointer_of(self), number, state or "COMPLETE",
                                                self:_array(point), value or 0 / 0, 0))
end

--- d value / d point of an observed trial, by name.
function Sampler:gradient(number, gradient)
    self.context:_check(C.drmad_sampler_gradient(pointer_of(self), number, self:_array(gradient)))
end

return api
