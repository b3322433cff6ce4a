-- Models whose losses Lua computes: include/drmad/model.h.
local ffi = require "ffi"
local core = require "drmad.core"
local study = require "drmad.study"

jit.off(true, true) -- see core.lua

local C, class, adopt, callback = core.C, core.class, core.adopt, core.callback
local pointer_of, settings, strings = core.pointer_of, core.settings, core.strings

local api = {}

local Model = class()

--- A model whose losses and derivatives are Lua functions (include/drmad/model.h). options: type
-- ("float" or "double"), tensors {{name, shape, role, layer}, ...}, data {name, train, valid, test,
-- batch}, schedule (factors), and the functions; vectors w, u, g, hu are pointers, from 0, of
-- model:size() elements:
--   start(seed, w)                        w = start weights
--   gradient(seed, step, w, v, g)         g = dL/dw; gives L; v: example weights or nil
--   product(seed, step, w, u, v, way, g, hu, rows)   hu = (d2L/dw dw) u; g, rows unless nil
--   evaluate(part, examples, w, u, dw)    gives F, error, slope; dw = dF/dw unless nil
--   batch(seed, step, numbers)            example numbers, where examples are weighted
function api.model(name, options, context)
    context = context or core.context()
    local element = options.type or "double"
    local out = ffi.new("drmad_model *[1]")
    context:_check(C.drmad_model_new(pointer_of(context), name, element == "double" and 1 or 0,
                                     out))
    local self = adopt(Model, out[0], C.drmad_model_free, {context})
    self.context, self._vector = context, element .. " *"
    for _, t in ipairs(options.tensors) do
        local shape = ffi.new("int64_t[?]", #t.shape + 1, t.shape)
        context:_check(C.drmad_model_add(out[0], t.name, shape, #t.shape, t.role or "weight",
                                         t.layer or 0))
    end
    local d = options.data
    context:_check(C.drmad_model_set_data(out[0], d.name or name, d.train, d.valid or 0,
                                          d.test or 0, d.batch))
    if options.schedule then
        local n = #options.schedule
        local factors = ffi.new("double[?]", n, options.schedule)
        context:_check(C.drmad_model_set_schedule(out[0], factors, n))
    end
    self:_set_functions(options)
    return self
end

function Model:_set_functions(f)
    local vector = function(p)
        if p == nil then return nil end
        return ffi.cast(self._vector, p)
    end
    local function body(kind, fn) return callback(self, kind, self.context:_guarded(fn)) end
    local start = body("drmad_start_fn", function(_, seed, w)
        f.start(tonumber(seed), vector(w))
    end)
    local gradient = body("drmad_gradient_fn", function(_, seed, step, w, v, g, loss)
        loss[0] = f.gradient(tonumber(seed), tonumber(step), vector(w), vector(v), vector(g))
    end)
    local product = body("drmad_product_fn", function(_, seed, step, w, u, v, way, g, hu, rows)
        f.product(tonumber(seed), tonumber(step), vector(w), vector(u), vector(v), way, vector(g),
                  vector(hu), vector(rows))
    end)
    local evaluate = body("drmad_evaluate_fn", function(_, part, examples, w, u, dw, loss, err,
                                                        slope)
        local value, wrong, along = f.evaluate(part, tonumber(examples), vector(w), vector(u),
                                               vector(dw))
        loss[0], err[0] = value, wrong or 0 / 0
        if slope ~= nil then slope[0] = along end
    end)
    local batch = f.batch and body("drmad_batch_fn", function(_, seed, step, numbers)
        f.batch(tonumber(seed), tonumber(step), numbers)
    end)
    self.context:_check(C.drmad_model_set_functions(pointer_of(self), start, gradient, product,
                                                    evaluate, batch or nil, nil))
end

function Model:size() return tonumber(C.drmad_model_size(pointer_of(self))) end
function Model:offset(tensor) return tonumber(C.drmad_model_offset(pointer_of(self), tensor)) end

--- A study over the model, from overrides alone.
function Model:study(overrides)
    local lines, n, kept = strings(settings(overrides))
    local out = ffi.new("drmad_study *[1]")
    self.context:_check(C.drmad_model_study(pointer_of(self), lines, n, out))
    return study.adopt(self.context, out[0], self)
end

return api
