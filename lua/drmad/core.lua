-- What the other files of this folder stand on: the loaded library, error objects, texts, handles
-- and contexts.
local ffi = require "ffi"
local abi = require "drmad.abi"

local core = {}

-- A C function that calls back into Lua must not be called from compiled code (LuaJIT: "bad
-- callback"), and nothing here is worth compiling.
jit.off(true, true)

-- ---- the library ----

local function folder_of_this_file()
    return (debug.getinfo(1, "S").source:match("^@(.*/)") or "./")
end

local function exists(path)
    local f = io.open(path, "rb")
    if f then f:close() end
    return f ~= nil
end

local Error = {}
Error.__index = Error
Error.__tostring = function(e) return e.message end

function core.failure(name, message)
    for status, known in pairs(abi.statuses) do
        if known == name then
            return setmetatable({name = name, status = status, exit = abi.exits[status],
                                 message = message}, Error)
        end
    end
end

--- Whether `e`, as pcall gives it, is an error of the library; with `name`, of that kind.
function core.is_error(e, name)
    return getmetatable(e) == Error and (name == nil or e.name == name)
end

-- $DRMAD_LIBRARY, else that of the checkout around this file, else an installed one.
local function load_library()
    local named = os.getenv("DRMAD_LIBRARY")
    local built = folder_of_this_file() .. "../../build/release/libdrmad.so"
    local path = named or (exists(built) and built) or "libdrmad.so.0"
    local ok, lib = pcall(ffi.load, path)
    if not ok then
        error(core.failure("E_MISSING", path .. ": " .. tostring(lib) .. "\ninstall libdrmad, or "
                                        .. "set DRMAD_LIBRARY to the path of a libdrmad.so"))
    end
    local found = ffi.string(lib.drmad_version())
    if found ~= abi.version then
        error(core.failure("E_MISSING", path .. " is drmad " .. found .. ", this module is "
                                        .. abi.version .. ": take both of one version"))
    end
    return lib
end

core.C = load_library()
local C = core.C

-- ---- texts and tables ----

function core.json_library()
    local ok, cjson = pcall(require, "cjson")
    if not ok then
        error(core.failure("E_MISSING", "tables of results need the Lua module cjson (Debian: "
                                        .. "lua-cjson)"))
    end
    return cjson
end

function core.decoded(text)
    return text ~= "" and core.json_library().decode(text) or nil
end

-- A JSON text, or a table or value that becomes one.
function core.encoded(value)
    return type(value) == "string" and value or core.json_library().encode(value)
end

function core.text_of(pointer)
    return pointer ~= nil and ffi.string(pointer) or nil
end

-- A list of strings as C wants it, and its length; the third result keeps the strings alive and
-- must be held during the call.
function core.strings(list)
    local kept = {}
    for i, s in ipairs(list or {}) do kept[i] = tostring(s) end
    return ffi.new("const char *[?]", #kept + 1, kept), #kept, kept
end

-- {"a=1", file = "b.csv", desc = true} -> {"a=1", "desc=true", "file=b.csv"}.
function core.settings(t)
    local named, out = {}, {}
    for i, line in ipairs(t or {}) do out[i] = line end
    for key, value in pairs(t or {}) do
        if type(key) == "string" then named[#named + 1] = key .. "=" .. tostring(value) end
    end
    table.sort(named)
    for _, line in ipairs(named) do out[#out + 1] = line end
    return out
end

-- ---- handles ----

-- Finalizers come in no order that one could rely on, so each handle counts who needs it: it is
-- freed when nobody holds it and all that stand on it are gone.
local function settle(h)
    if not h.closed or h.users > 0 or h.pointer == nil then return end
    local pointer = h.pointer
    h.pointer = nil
    h.free(pointer)
    for _, callback in ipairs(h.callbacks) do callback:free() end
    for _, owner in ipairs(h.owners) do
        owner.users = owner.users - 1
        settle(owner)
    end
end

local function close(h)
    h.closed = true
    settle(h)
end

-- A table of class `class` around `pointer`; `owners` are objects that must outlive it.
function core.adopt(class, pointer, free, owners)
    local h = {pointer = pointer, free = free, owners = {}, users = 0, callbacks = {}}
    for i, owner in ipairs(owners or {}) do
        h.owners[i] = owner._handle
        owner._handle.users = owner._handle.users + 1
    end
    local guard = newproxy(true)
    getmetatable(guard).__gc = function() close(h) end
    return setmetatable({_handle = h, _guard = guard}, class)
end

function core.pointer_of(object)
    local h = object._handle
    if h.closed then error(core.failure("E_USAGE", "the object was closed before"), 3) end
    return h.pointer
end

function core.class()
    local c = {}
    c.__index = c
    c.close = function(self) close(self._handle) end
    return c
end

-- ---- context ----

local Context = core.class()

--- A context: the library's threads and last error. Other objects make one themselves unless they
-- are given this. options: threads (1 to 256; one per core).
function core.context(options)
    local pointer = C.drmad_ctx_new(nil, nil)
    if pointer == nil then error(core.failure("E_NOMEM", "out of memory: a context")) end
    local self = core.adopt(Context, pointer, C.drmad_ctx_free)
    if options and options.threads then
        self:_check(C.drmad_ctx_set_threads(pointer, options.threads))
    end
    return self
end

function Context:threads() return C.drmad_ctx_threads(core.pointer_of(self)) end

--- Asks the call under way (from a callback) to end after a clean checkpoint.
function Context:stop() C.drmad_ctx_stop(core.pointer_of(self), 2) end

--- Asks a tuning run to write a checkpoint after the meta-step under way and to go on.
function Context:checkpoint() C.drmad_ctx_checkpoint(core.pointer_of(self)) end

-- Raises what a callback left, or the error of `status`.
function Context:_check(status)
    local raised = self._raised
    self._raised = nil
    status = tonumber(status)
    if status == 0 then return end
    if raised then error(raised.value, 0) end
    local name = abi.statuses[status] or "E_INTERNAL"
    local message = ffi.string(C.drmad_errmsg(self._handle.pointer))
    if message == "" then message = ffi.string(C.drmad_status_text(status)) end
    error(core.failure(name, message), 3)
end

local INTERRUPTED, MODEL = 15, 6

-- luajit's own handler of SIGINT raises this in the next line of Lua, which is a callback's.
local function is_interrupt(e)
    return type(e) == "string" and e:find("interrupted!", 1, true) ~= nil
end

-- `fn` as the body of a callback that gives a status: no Lua error may cross C's frames, so it is
-- kept for _check. nil means success.
function Context:_guarded(fn)
    return function(...)
        local ok, status = pcall(fn, ...)
        if ok then return status or 0 end
        if is_interrupt(status) then return INTERRUPTED end
        self._raised = {value = status}
        return core.is_error(status) and status.status or MODEL
    end
end

-- `fn` as the body of a callback that gives nothing: a failure ends the call under way.
function Context:_listening(fn)
    local guarded = self:_guarded(fn)
    return function(...)
        if guarded(...) ~= 0 then C.drmad_ctx_stop(self._handle.pointer, 2) end
    end
end

-- A C callback that lives as long as `object`.
function core.callback(object, kind, fn)
    local made = ffi.cast(kind .. " *", fn)
    table.insert(object._handle.callbacks, made)
    return made
end

return core
