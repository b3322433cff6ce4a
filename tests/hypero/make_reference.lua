-- Makes the reference of test_hypero.py with hypero itself: a schema filled by its own SQL and the
-- CSV files of its own export. Stands in for the parts of torch, xlua and moses that hypero uses.
--
--   luajit make_reference.lua HYPERO "dbname=... host=..." OUT
--   pg_dump --inserts --no-owner --no-acl -n hyper ... \
--      | grep -v -e "^--" -e restrict | cat -s > OUT/hyper.sql
--
-- HYPERO: a checkout of Element-Research/hypero. Needs lua-json (json) and lua-sql-postgres.
local folder, conninfo, out = arg[1], arg[2], arg[3]

torch, xlua, _, hypero = {}, {}, {}, {}
json = require 'json'

function torch.class(name)
   local class = {__typename = name}
   class.__index = class
   hypero[name:match("%.(%w+)$")] = class
   return setmetatable(class, {__call = function(c, ...)
      local o = setmetatable({}, c)
      o:__init(...)
      return o
   end})
end

function torch.type(o)
   local meta = type(o) == 'table' and getmetatable(o)
   return meta and meta.__typename or type(o)
end

function torch.isTypeOf(o, name)
   return torch.type(o) == name
end

function xlua.unpack(args, name, help, ...)
   local values, n = {}, select('#', ...)
   for i = 1, n do
      local d = select(i, ...)
      values[i] = args[1][d.arg]
      if values[i] == nil then values[i] = d.default end
   end
   return args[1], unpack(values, 1, n)
end

function _.isEmpty(t)
   return t == nil or next(t) == nil
end

function _.clone(t)
   local copy = {}
   for k, v in pairs(t) do copy[k] = v end
   return copy
end

function _.flatten(lists)
   local flat = {}
   for i, list in ipairs(lists) do
      for j, v in ipairs(list) do table.insert(flat, v) end
   end
   return flat
end

function _.find(t, v)
   for i = 1, #t do
      if t[i] == v then return i end
   end
end

_.sort = table.sort

for i, file in ipairs{'utils', 'Postgres', 'Connect', 'Battery', 'Experiment'} do
   dofile(folder .. '/' .. file .. '.lua')
end

-- hypero.Postgres puts its words together as "host=" .. host, so the whole line passes as one
local conn = hypero.Connect{host = conninfo}
local name = 'RNN Visual Attention - MNIST'

local full = {
   {{lr=0.01, momentum=0.9, decay='linear', depth=3, sched={1, 2, 3}, nesterov=true},
    {host='hermes', data='mnist', seed=17},
    {trainAcc=0.998, validAcc=0.876, curve={0.1, 0.5, 0.75}}},
   {{lr=1e-05, momentum=0, decay='', depth=1, sched={}, nesterov=false},
    {host='zeus', data='a "quoted" / \\ name', seed=-3},
    {trainAcc=1, validAcc=0.5, curve={1}}},
   {{lr=1/3, momentum=0.95, decay='lcn,std', depth=7, sched={10}, nesterov=true},
    {host='line\nbreak', data='\195\169\226\130\172', seed=0},
    {trainAcc=0.25, validAcc=0.9001, curve={}}},
   {{lr=123456789.25, momentum=2, decay='x', depth=2, sched={1}, nesterov=false},
    {host='h', data='=1+1', seed=9007199254740991},
    {trainAcc=0.3, validAcc=0.7, curve={a={b=true}}}},
}

local function run(version, rows)
   local battery = conn:battery(name, version, false)
   for i, row in ipairs(rows) do
      local hex = battery:experiment()
      hex:setParam(row[1])
      hex:setMeta(row[2])
      hex:setResult(row[3])
   end
end

run('first try', full)
run('fixed bug in Sequencer', full)
run('first try', {full[3]}) -- an old version may run on
run('third', {full[2], full[1]})

-- experiments that lack something: hypero's export loses or shifts their cells, so only the
-- database is of use
name = 'with holes'
local holes = conn:battery(name, 'v', false)
local hex = holes:experiment()
hex:setParam{lr=2, momentum=true}
hex:setMeta{host='h2'}
hex:setResult{validAcc=0.6}
hex = holes:experiment()
hex:setParam{lr=0.5, decay='x'}
hex:setMeta{host='no result'}
holes:experiment()
name = 'RNN Visual Attention - MNIST'

local params, metas = 'lr,momentum,decay,depth,sched,nesterov', 'host,data,seed'
local results = 'trainAcc,validAcc,curve'

local function export(file, version, config)
   local battery = conn:battery(name, version, false, true)
   local data, header = battery:exportTable(config)
   hypero.writecsv(out .. '/' .. file .. '.csv', header, data)
end

export('all', '', {})
export('named', '', {paramNames=params, metaNames=metas, resultNames=results, verDesc='*'})
export('ordered', 'first try', {paramNames='lr,depth', metaNames='host', resultNames='validAcc',
   orderBy='validAcc', asc=false})
export('by-text', 'first try', {paramNames='decay', metaNames='host', resultNames='validAcc',
   orderBy='decay'})
export('newer', 'fixed bug in Sequencer', {paramNames=params, metaNames=metas,
   resultNames=results, minVer=true})
conn:close()
