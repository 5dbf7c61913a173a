-- Chat templates: their statements, and llm.template. A scope is a table of variables; [1] is the one around it.
local llm, core = ...
local values, run = core.template_values, core.template_run
local fail, kind = values.fail, values.kind

local LARGEST = 2 ^ 18 -- bytes of a template

local execute = {} -- kind of node -> function(run, node, scope) -> "break", "continue" or nil

function run:write(s)
    self:check_size(#s)
    self.size = self.size + #s
    if self.size > 2 ^ 26 then fail "the text is too long" end
    self.out[#self.out + 1] = s
end

function run:body(list, scope)
    local before = self.node
    self.depth = self.depth + 1
    for i = 1, #list do
        local node = list[i]
        self.node = node
        self:charge(1)
        local leaves = execute[node.kind](self, node, scope)
        if leaves then
            self.depth = self.depth - 1
            return leaves
        end
    end
    self.depth = self.depth - 1
    self.node = before
end

-- The text of a body instead of its output.
function run:capture(list, scope)
    local out = self.out
    self.out = {}
    self:body(list, scope)
    local captured = table.concat(self.out)
    self:check_size(#captured)
    self.out = out
    return captured
end

function execute.data(self, node) self:write(node.text) end

function execute.output(self, node, scope)
    self:write(values.tostring(self, self:evaluate(node.expression, scope)))
end

execute["if"] = function(self, node, scope)
    for _, branch in ipairs(node.branches) do
        if values.truth(self:evaluate(branch.test, scope)) then return self:body(branch.body, scope) end
    end
    if node.otherwise then return self:body(node.otherwise, scope) end
end

execute["break"] = function() return "break" end
execute["continue"] = function() return "continue" end

-- ---- setting ----

function run:assign(target, value, scope)
    if target.kind == "target" then
        scope[target.name] = value
    elseif target.kind == "target_attribute" then
        local space = self:evaluate({ kind = "name", name = target.name, from = target.from, to = target.to }, scope)
        if kind(space) ~= "namespace" then fail "cannot assign attribute on non-namespace object" end
        values.put(space, target.attribute, value)
    else
        local items = values.iterate(self, value)
        if #items ~= #target.items then
            fail(("%d values to unpack expected, got %d"):format(#target.items, #items))
        end
        for i, part in ipairs(target.items) do self:assign(part, items[i], scope) end
    end
end

function execute.set(self, node, scope) self:assign(node.target, self:evaluate(node.value, scope), scope) end

-- A chain of filters that starts from a captured text.
local function filtered(self, node, s, scope)
    if not node then return s end
    return self:filter(node, node.value and filtered(self, node.value, s, scope) or s, scope)
end

function execute.set_block(self, node, scope)
    self:assign(node.target, filtered(self, node.filter, self:capture(node.body, { scope }), scope), scope)
end

function execute.filter_block(self, node, scope)
    self:write(values.tostring(self, filtered(self, node.filter, self:capture(node.body, { scope }), scope)))
end

execute["with"] = function(self, node, scope)
    local inner = { scope }
    for i, target in ipairs(node.targets) do self:assign(target, self:evaluate(node.values[i], scope), inner) end
    return self:body(node.body, inner)
end

-- ---- loops ----

local function missing(what) return values.undefined("there is no " .. what .. " item") end

local function loop_values(self, loop, items, i)
    local n, v = #items, loop.values
    v.index, v.index0, v.revindex, v.revindex0 = i, i - 1, n - i + 1, n - i
    v.first, v.last, v.length = i == 1, i == n, n
    v.previtem, v.nextitem = items[i - 1], items[i + 1]
    if i == 1 then v.previtem = missing "previous" end
    if i == n then v.nextitem = missing "next" end
    self:charge(1)
end

local function new_loop()
    local loop = { kind = "loop", values = { depth = 1, depth0 = 0 } }
    local last
    loop.values.cycle = values.callable("cycle", function(_, args)
        if #args == 0 then fail "no items for cycling given" end
        return args[loop.values.index0 % #args + 1]
    end)
    loop.values.changed = values.callable("changed", function(self, args)
        local now = values.tuple(args)
        local changed = not last or not values.equal(self, last, now)
        last = now
        return changed
    end)
    return loop
end

execute["for"] = function(self, node, scope)
    local items = values.iterate(self, self:evaluate(node.iterated, scope))
    local chosen = {}
    for i = 1, #items do
        local chooses = { scope }
        if node.test then self:assign(node.target, items[i], chooses) end
        if not node.test or values.truth(self:evaluate(node.test, chooses)) then chosen[#chosen + 1] = items[i] end
    end
    self:charge(#items / 4)
    if #chosen == 0 and node.otherwise then return self:body(node.otherwise, { scope }) end
    local loop = new_loop()
    for i, item in ipairs(chosen) do
        loop_values(self, loop, chosen, i)
        local inner = { scope, loop = loop }
        self:assign(node.target, item, inner)
        if self:body(node.body, inner) == "break" then break end
        self.node = node
    end
end

-- ---- macros ----

local function bind(self, node, scope, args, named)
    local inner = { scope }
    for i, parameter in ipairs(node.parameters) do
        local v = args[i]
        if v == nil then v = named[parameter.name] end
        if v == nil and parameter.default then v = self:evaluate(parameter.default, inner) end
        if v == nil then v = values.undefined("parameter '" .. parameter.name .. "' was not provided") end
        inner[parameter.name] = v
    end
    local more = values.tuple {}
    for i = #node.parameters + 1, #args do more[#more + 1] = args[i] end
    local others = values.dict()
    inner.varargs, inner.kwargs, inner.caller = more, others, named.caller
    local known = { caller = true }
    for _, parameter in ipairs(node.parameters) do known[parameter.name] = true end
    for name, v in pairs(named) do
        if not known[name] then values.put(others, name, v) end
    end
    return inner
end

local function new_macro(node, scope)
    local macro = values.callable(node.name, function(self, args, named)
        self:charge(5)
        return self:capture(node.body, bind(self, node, scope, args, named))
    end)
    macro.values = { name = node.name }
    return macro
end

function execute.macro(_, node, scope) scope[node.name] = new_macro(node, scope) end

function execute.call_block(self, node, scope)
    self:write(values.tostring(self, self:evaluate_call(node.call, scope, new_macro(node, scope))))
end

-- ---- from a text and values to a text ----

local function where(source, at)
    local before = source:sub(1, at - 1)
    local _, lines = before:gsub("\n", "")
    return lines + 1, core.template_text.length(before:match "[^\n]*$") + 1
end

local function excerpt(source, from, to)
    local s = source:sub(from, to):gsub("%s+", " ")
    if #s > 80 then s = core.template_text.slice_bytes(s, 77) .. "..." end
    return s
end

local function describe(name, source, mistake, node)
    local from = mistake.from or node and node.from or 1
    local to = mistake.to or node and node.to or from
    local line, column = where(source, from)
    local expression = excerpt(source, from, to)
    return ("template %s:%d:%d: %s%s"):format(name, line, column, mistake.message,
        expression ~= "" and ": " .. expression or "")
end

local parsed = setmetatable({}, { __mode = "v" }) -- text of a template -> its tree

local function parse(source)
    local tree = parsed[source]
    if not tree then
        local list, seen = core.template_parse(source)
        tree = { list = list, source = seen }
        parsed[source] = tree
    end
    return tree
end

local function guarded(name, source, at_work, call)
    local ok, value = pcall(call)
    if ok then return value end
    if type(value) ~= "table" then -- of Lua itself: no memory, say, or a stack too deep
        if tostring(value):find "not enough memory" then error(value, 0) end
        value = { message = "cannot be rendered (" .. tostring(value) .. ")" }
    end
    return nil, describe(name, source, value, at_work.node), "bad_template"
end

-- given: variables of the template, name to value. Values that are no plain data raise.
function core.render_template(name, source, given)
    if #source > LARGEST then
        return nil, ("template %s:1:1: more than %d bytes"):format(name, LARGEST), "bad_template"
    end
    local tree, message, code = guarded(name, (source:gsub("\r\n?", "\n")), {}, function() return parse(source) end)
    if not tree then return nil, message, code end
    local variables, size = { core.template_globals }, { n = 0 }
    for key, v in pairs(given) do
        if type(key) == "string" then variables[key] = values.from_lua(v, size) end
    end
    local self = setmetatable({ out = {}, now = given.now and math.floor(given.now), limit = run.limit + size.n }, run)
    return guarded(name, tree.source, self, function()
        self:body(tree.list, { variables })
        return table.concat(self.out)
    end)
end

function llm.template(source, given)
    if type(source) ~= "string" then core.raise_argument(1, "template", "string", source) end
    if given ~= nil and type(given) ~= "table" then core.raise_argument(2, "template", "table", given) end
    given = given or {}
    local now = given.now
    if now ~= nil and (type(now) ~= "number" or now ~= now or now < 0 or now > 2 ^ 40) then
        core.raise "bad value 'now' of llm.template (seconds from 0 up expected)"
    end
    return core.render_template("template", source, given)
end
