#!/usr/bin/env luajit
--- DrMAD on MNIST (Fu et al., IJCAI 2016, arXiv 1601.00917): an L2 penalty for each input of each
-- layer, 934 in all, tuned by hypergradients through the whole training run.
--
--   luajit lua/examples/drmad_mnist.lua [KEY=VALUE ...]
--
-- takes a few minutes on one core; any key of docs/STUDY.md, such as outer.steps=2. With
-- trajectory.kind=line trajectory.coverage=tenth the walk back is the published one. MNIST is read
-- from $DRMAD_DATA, or from where `drmad data get mnist` puts it.
package.path = (arg[0]:match("^(.*/)") or "./") .. "../?.lua;" .. package.path
local drmad = require "drmad"

local study = {
    "name=drmad_mnist", "seed=1", "output.dir=runs/lua",
    "data={kind: mnist, train: 15000, valid: 5000}",
    "model={layers: [auto, 50, 50, 50, auto], activation: tanh, init: xavier}",
    "train={steps: 1000, batch: 50}",
    "optimizer={lr: 0.05, momentum: 0.9}",
    "hyper=[{kind: l2, per: unit-in, start: 1e-3, low: 1e-6, high: 1}]",
    "outer={steps: 10, lr: 0.3}",
    "trajectory={kind: grid}",
    "retrain={seeds: 3}",
}
for _, override in ipairs(arg) do study[#study + 1] = override end

local s = drmad.study(nil, study)
s:on_event(function(stage, done, total)
    if stage == "tuning" then io.stderr:write(("%d of %d meta-steps\n"):format(done, total)) end
end)
s:tune()
print(s:text())

-- What the first layer's penalties have become, as a picture of the digits' place.
local shades, penalties = " .:-=+*#", s:value("l2", 0, 0, 50 * 784)
local least, most = math.huge, 0
for i = 1, 784 do
    least, most = math.min(least, penalties[i]), math.max(most, penalties[i])
end
print(("L2 of the 784 inputs, from %.1e (blank) to %.1e:"):format(least, most))
for row = 0, 27, 2 do
    local line = {}
    for column = 1, 28 do
        local share = math.log(penalties[row * 28 + column] / least) / math.log(most / least)
        local shade = 1 + math.floor(share * (#shades - 1) + 0.5)
        line[column] = shades:sub(shade, shade)
    end
    print("  " .. table.concat(line))
end
