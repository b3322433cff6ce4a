#!/usr/bin/env luajit
--- The study of drmad_mnist.lua on a GPU: the one difference is `device=cuda`.
--
--   luajit lua/examples/cuda_drmad_mnist.lua [KEY=VALUE ...]
--
-- Where libdrmad_cuda.so, the driver or a GPU is missing, it says which, with exit status 6
-- (docs/CUDA.md).
local here = arg[0]:match("^(.*/)") or "./"
package.path = here .. "../?.lua;" .. package.path
local drmad = require "drmad"

table.insert(arg, 1, "device=cuda")
table.insert(arg, 2, "output.dir=runs/lua-cuda")
local ok, e = pcall(dofile, here .. "drmad_mnist.lua")
if not ok then
    io.stderr:write("cuda_drmad_mnist.lua: ", tostring(e), "\n")
    os.exit(drmad.is_error(e) and e.exit or 1)
end
