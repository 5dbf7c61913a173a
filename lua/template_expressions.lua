-- What the expressions of a template mean. A run counts what it does, so that a hostile template ends.
local _, core = ...
local values = core.template_values
local fail, kind = values.fail, values.kind

local TEXT = 2 ^ 24  -- bytes of one string
local DEPTH = 400    -- of nodes inside each other, macros included

-- limit: of work, which is nodes, items, and bytes of text by the cost of what is done with them
local run = { work = 0, depth = 0, size = 0, limit = 500000 }
run.__index = run
core.template_run = run

function run:charge(n)
    self.work = self.work + n
    if self.work > self.limit then fail "the template takes too many steps" end
end

function run:charge_size(bytes) self:charge(bytes / 64) end

-- Before a string is made.
function run:check_size(bytes)
    if bytes > TEXT then fail "a string too long" end
    self:charge(bytes / 64)
end

local evaluate = {} -- kind of node -> function(run, node, scope) -> value

function run:evaluate(node, scope)
    local before = self.node
    self.node = node
    self.depth = self.depth + 1
    if self.depth > DEPTH then fail "nested too deep" end
    self:charge(1)
    local value = evaluate[node.kind](self, node, scope)
    self.depth = self.depth - 1
    self.node = before
    return value
end

-- ---- operators ----

local function numbers(a, b, operator)
    local x, y = values.number(a), values.number(b)
    if x and y then return x, y, not (values.is_float(x) or values.is_float(y)) end
    for _, v in ipairs { a, b } do
        if kind(v) == "undefined" then fail(v.hint) end
    end
    if operator == "+" and (type(a) == "string" or type(b) == "string") then
        local other = type(a) == "string" and b or a
        fail(('can only concatenate str (not "%s") to str'):format(values.type_name(other)))
    end
    fail(("unsupported operand types for %s: '%s' and '%s'"):format(operator, values.type_name(a),
        values.type_name(b)))
end

local function arithmetic(operator, compute)
    return function(_, a, b)
        local x, y, whole = numbers(a, b, operator)
        if not whole then return compute(x + 0.0, y + 0.0) end
        values.integer(compute(x + 0.0, y + 0.0)) -- the size, before anything wraps around
        return values.integer(compute(x, y))
    end
end

local function divisor(b)
    if values.number(b) == 0 then fail "division by zero" end
end

local function repeated(self, v, n)
    n = math.max(0, n)
    if type(v) == "string" then
        self:check_size(#v * n)
        return v:rep(n)
    end
    self:charge(#v * n)
    local out = {}
    for _ = 1, #v > 0 and n or 0 do
        for i = 1, #v do out[#out + 1] = v[i] end
    end
    out.kind = v.kind
    return out
end

local plus = arithmetic("+", function(x, y) return x + y end)
local times = arithmetic("*", function(x, y) return x * y end)
local modulo = arithmetic("%", function(x, y) return x % y end)
local floor_quotient = arithmetic("//", function(x, y) return math.floor(x / y) end)
local power = arithmetic("**", function(x, y) return x ^ y end)

local operators = {
    ["-"] = arithmetic("-", function(x, y) return x - y end),
    ["+"] = function(self, a, b)
        if type(a) == "string" and type(b) == "string" then
            self:check_size(#a + #b)
            return a .. b
        end
        if not values.is_sequence(a) or kind(a) ~= kind(b) then return plus(self, a, b) end
        self:charge((#a + #b) / 4)
        local out = { kind = a.kind }
        for i = 1, #a do out[i] = a[i] end
        for i = 1, #b do out[#out + 1] = b[i] end
        return out
    end,
    ["*"] = function(self, a, b)
        if type(a) == "string" or values.is_sequence(a) then return repeated(self, a, values.want_integer(b)) end
        if type(b) == "string" or values.is_sequence(b) then return repeated(self, b, values.want_integer(a)) end
        return times(self, a, b)
    end,
    ["/"] = function(_, a, b)
        local x, y = numbers(a, b, "/")
        divisor(b)
        return x / y
    end,
    ["//"] = function(self, a, b)
        divisor(b)
        local v = floor_quotient(self, a, b)
        return (values.is_float(a) or values.is_float(b)) and v + 0.0 or v
    end,
    ["%"] = function(self, a, b)
        if type(a) == "string" then
            return values.format(self, a, kind(b) == "tuple" and b or { b })
        end
        divisor(b)
        return modulo(self, a, b)
    end,
    ["**"] = function(self, a, b)
        local x, y = numbers(a, b, "**")
        if y < 0 then return (x + 0.0) ^ y end
        return power(self, a, b)
    end,
}

function run:binary(operator, a, b) return operators[operator](self, a, b) end

function run:compare(operator, a, b)
    if operator == "==" then return values.equal(self, a, b) end
    if operator == "!=" then return not values.equal(self, a, b) end
    if operator == "in" then return values.contains(self, b, a) end
    if operator == "not in" then return not values.contains(self, b, a) end
    if operator == "<" then return values.less(self, a, b) end
    if operator == ">" then return values.less(self, b, a) end
    if operator == "<=" then return values.less(self, a, b) or values.equal(self, a, b) end
    return values.less(self, b, a) or values.equal(self, a, b)
end

-- A filter or a test by its name.
function run:named(of, what, name)
    if type(name) == "string" and of[name] then return of[name] end
    fail(("no %s named %s"):format(what, values.repr(self, name)))
end

-- ---- simple expressions ----

function evaluate.constant(_, node)
    if node.value == nil then return values.none end
    return node.value
end

function evaluate.name(_, node, scope)
    local name = node.name
    while scope do
        local v = scope[name]
        if v ~= nil then return v end
        scope = scope[1]
    end
    return values.undefined("'" .. name .. "' is undefined")
end

local function evaluate_list(self, items, scope)
    local out = {}
    for i = 1, #items do out[i] = self:evaluate(items[i], scope) end
    return out
end

function evaluate.list(self, node, scope) return values.list(evaluate_list(self, node.items, scope)) end
function evaluate.tuple(self, node, scope) return values.tuple(evaluate_list(self, node.items, scope)) end

function evaluate.dict(self, node, scope)
    local dict = values.dict()
    for i, key in ipairs(node.keys) do
        values.put(dict, self:evaluate(key, scope), self:evaluate(node.values[i], scope))
    end
    return dict
end

function evaluate.conditional(self, node, scope)
    if values.truth(self:evaluate(node.test, scope)) then return self:evaluate(node.value, scope) end
    if node.otherwise then return self:evaluate(node.otherwise, scope) end
    return values.undefined "the inline if-expression evaluated to false and no else section was defined"
end

function evaluate.either(self, node, scope)
    local left = self:evaluate(node.left, scope)
    if values.truth(left) then return left end
    return self:evaluate(node.right, scope)
end

function evaluate.both(self, node, scope)
    local left = self:evaluate(node.left, scope)
    if not values.truth(left) then return left end
    return self:evaluate(node.right, scope)
end

function evaluate.negation(self, node, scope) return not values.truth(self:evaluate(node.value, scope)) end

function evaluate.comparison(self, node, scope)
    local left = self:evaluate(node.first, scope)
    for _, part in ipairs(node.rest) do
        local right = self:evaluate(part.value, scope)
        if not self:compare(part.operator, left, right) then return false end
        left = right
    end
    return true
end

function evaluate.binary(self, node, scope)
    local left = self:evaluate(node.left, scope)
    return operators[node.operator](self, left, self:evaluate(node.right, scope))
end

function evaluate.sign(self, node, scope)
    local v = self:evaluate(node.value, scope)
    local n = values.number(v)
    if not n then
        fail(kind(v) == "undefined" and v.hint
            or ("bad operand type for unary %s: '%s'"):format(node.sign, values.type_name(v)))
    end
    return node.sign == "-" and -n or n
end

function evaluate.joining(self, node, scope)
    local parts, size = {}, 0
    for i, part in ipairs(node.parts) do
        parts[i] = values.tostring(self, self:evaluate(part, scope))
        size = size + #parts[i]
        if size > TEXT then fail "a string too long" end
    end
    self:check_size(size)
    return table.concat(parts)
end

-- ---- attributes, items, calls ----

function evaluate.attribute(self, node, scope)
    return values.attribute(self:evaluate(node.object, scope), node.name)
end

function evaluate.item(self, node, scope)
    local object = self:evaluate(node.object, scope)
    return values.item(self, object, self:evaluate(node.key, scope))
end

function evaluate.slice(self, node, scope)
    local object = self:evaluate(node.object, scope)
    local function bound(part)
        if not part then return nil end
        return values.want_integer(self:evaluate(part, scope))
    end
    return values.slice(self, object, bound(node.start), bound(node.stop), bound(node.step))
end

-- Positional values, named values, and the names in order.
local function evaluate_arguments(self, arguments, scope)
    local args, named, names = evaluate_list(self, arguments, scope), {}, {}
    if arguments.list then
        for _, v in ipairs(values.iterate(self, self:evaluate(arguments.list, scope))) do args[#args + 1] = v end
        self:charge(#args)
    end
    local function add(name, v)
        if named[name] ~= nil then fail("got multiple values for '" .. name .. "'") end
        names[#names + 1], named[name] = name, v
    end
    for _, argument in ipairs(arguments.named) do add(argument.name, self:evaluate(argument.value, scope)) end
    if arguments.dict then
        local dict = self:evaluate(arguments.dict, scope)
        if kind(dict) ~= "dict" then fail "a mapping expected after **" end
        self:charge(#dict.keys)
        for _, key in ipairs(dict.keys) do add(values.want_string(key), dict.values[key]) end
    end
    return args, named, names
end

function run:call(target, ...)
    if kind(target) == "undefined" then fail(target.hint) end
    if kind(target) ~= "function" and kind(target) ~= "cycler" then
        fail("'" .. values.type_name(target) .. "' object is not callable")
    end
    return target.call(self, ...)
end

-- caller: of a call block
function run:evaluate_call(node, scope, caller)
    local target = self:evaluate(node.target, scope)
    local args, named, names = evaluate_arguments(self, node.arguments, scope)
    named.caller = named.caller or caller
    return self:call(target, args, named, names)
end

function evaluate.call(self, node, scope) return self:evaluate_call(node, scope) end

function run:filter(node, value, scope)
    local filter = self:named(core.template_filters, "filter", node.name)
    local args, named = evaluate_arguments(self, node.arguments, scope)
    if type(value) == "string" then self:charge_size(#value * 8) end
    return filter(self, value, args, named)
end

function evaluate.filter(self, node, scope)
    return self:filter(node, self:evaluate(node.value, scope), scope)
end

function evaluate.test(self, node, scope)
    local value = self:evaluate(node.value, scope)
    local test = self:named(core.template_tests, "test", node.name)
    local args, named = evaluate_arguments(self, node.arguments, scope)
    return test(self, value, args, named) ~= node.negated
end
