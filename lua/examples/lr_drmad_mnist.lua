#!/usr/bin/env luajit
--- A learning rate for each layer and each fifth of training on MNIST, and a decay for each output
-- unit, by hypergradients; then the same schedule for a training loop of one's own.
--
--   luajit lua/examples/lr_drmad_mnist.lua [KEY=VALUE ...]
--
-- takes a few minutes on one core; any key of docs/STUDY.md, such as outer.steps=2. MNIST is read
-- from $DRMAD_DATA, or from where `drmad data get mnist` puts it.
package.path = (arg[0]:match("^(.*/)") or "./") .. "../?.lua;" .. package.path
local drmad = require "drmad"

local STEPS, PHASES = 500, 5
local study = {
    "name=lr_drmad_mnist", "seed=1", "output.dir=runs/lua-lr",
    "data={kind: mnist, train: 10000, valid: 5000}",
    "model={layers: [auto, 50, 50, auto], activation: tanh, init: xavier}",
    "train={steps: " .. STEPS .. ", batch: 50}",
    "optimizer={lr: 0.02, momentum: 0.9}",
    "hyper=[{kind: lr, per: layer, phases: " .. PHASES .. ", low: 1e-5, high: 10}, "
        .. "{kind: weight_decay, per: unit-out, start: 1e-4, low: 1e-7, high: 1}]",
    "outer={steps: 12, lr: 0.3}",
    "retrain={seeds: 3}",
}
for _, override in ipairs(arg) do study[#study + 1] = override end

local s = drmad.study(nil, study)
s:on_event(function(stage, done, total)
    if stage == "tuning" then io.stderr:write(("%d of %d meta-steps\n"):format(done, total)) end
end)
s:tune()
print(s:text())

-- Tensors are numbered from 0, weight and bias of each layer in turn; a value is spread over its
-- tensor, so the first element of a bias is its layer's rate.
local outputs = {50, 50, 10}
print("learning rates by layer and phase")
for layer = 1, #outputs do
    local line = {}
    for phase = 1, PHASES do
        local step = math.floor((phase - 1) * STEPS / PHASES)
        line[phase] = ("%8.4f"):format(s:value("lr", 2 * layer - 1, step, outputs[layer])[1])
    end
    print(("  layers.%d %s"):format(layer - 1, table.concat(line)))
end
