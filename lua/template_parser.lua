-- A template's tokens as a tree. Each node: kind, from, to (places in the text, for messages), and what its kind needs.
local _, core = ...
local fail = core.template_fail

local DEPTH = 100 -- of brackets and statements inside each other

local parser = {}
parser.__index = parser

-- ---- tokens ----

function parser:advance()
    local token = self.token
    self.at = self.at + 1
    self.token = self.tokens[self.at] or token
    return token
end

function parser:is(value, kind)
    local token = self.token
    return token.value == value and token.kind == (kind or "operator")
end

function parser:skip(value, kind)
    if self:is(value, kind) then return self:advance() end
end

local function describe(token)
    if token.kind == "end" then return "the end of the template" end
    if token.kind == "string" then return "a string" end
    return token.value and "'" .. token.value .. "'" or "the end of the tag"
end

function parser:fail(message) fail(message, self.token.from, self.token.to) end
function parser:wrong(expected) self:fail(expected .. " expected, got " .. describe(self.token)) end

function parser:expect(value, kind)
    return self:skip(value, kind) or self:wrong("'" .. value .. "'")
end

function parser:expect_kind(kind, words)
    if self.token.kind ~= kind then self:wrong(words) end
    return self:advance()
end

function parser:name() return self:expect_kind("name", "a name").value end

function parser:node(kind, from, fields)
    fields = fields or {}
    fields.kind, fields.from, fields.to = kind, from, self.tokens[self.at - 1].to
    return fields
end

function parser:nest(method, ...)
    self.depth = self.depth + 1
    if self.depth > DEPTH then self:fail("nested too deep") end
    local node = self[method](self, ...)
    self.depth = self.depth - 1
    return node
end

-- ---- expressions, loosest first ----

function parser:expression() return self:nest "conditional" end

function parser:conditional()
    local from = self.token.from
    local value = self:disjunction()
    while self:skip("if", "name") do
        local test = self:disjunction()
        local otherwise = self:skip("else", "name") and self:expression() or nil
        value = self:node("conditional", from, { test = test, value = value, otherwise = otherwise })
    end
    return value
end

function parser:disjunction()
    local from = self.token.from
    local left = self:conjunction()
    while self:skip("or", "name") do
        left = self:node("either", from, { left = left, right = self:conjunction() })
    end
    return left
end

function parser:conjunction()
    local from = self.token.from
    local left = self:negation()
    while self:skip("and", "name") do
        left = self:node("both", from, { left = left, right = self:negation() })
    end
    return left
end

function parser:negation()
    local from = self.token.from
    if self:skip("not", "name") then
        return self:node("negation", from, { value = self:nest "negation" })
    end
    return self:comparison()
end

local comparisons = { ["=="] = true, ["!="] = true, ["<"] = true, ["<="] = true, [">"] = true, [">="] = true }

function parser:comparison_operator()
    local token = self.token
    if token.kind == "operator" and comparisons[token.value] then return self:advance().value end
    if self:skip("in", "name") then return "in" end
    local following = self.tokens[self.at + 1]
    if self:is("not", "name") and following and following.kind == "name" and following.value == "in" then
        self:advance()
        self:advance()
        return "not in"
    end
end

function parser:comparison()
    local from = self.token.from
    local first = self:sum()
    local rest = {}
    while true do
        local operator = self:comparison_operator()
        if not operator then break end
        rest[#rest + 1] = { operator = operator, value = self:sum() }
    end
    if #rest == 0 then return first end
    return self:node("comparison", from, { first = first, rest = rest })
end

function parser:binary(operand, operators)
    local from = self.token.from
    local left = self[operand](self)
    while self.token.kind == "operator" and operators[self.token.value] do
        local operator = self:advance().value
        left = self:node("binary", from, { operator = operator, left = left, right = self[operand](self) })
    end
    return left
end

local sums, products, powers = { ["+"] = true, ["-"] = true }, {}, { ["**"] = true }
for _, operator in ipairs { "*", "/", "//", "%" } do products[operator] = true end

function parser:sum() return self:binary("joining", sums) end

function parser:joining()
    local from = self.token.from
    local parts = { self:product() }
    while self:skip "~" do parts[#parts + 1] = self:product() end
    if #parts == 1 then return parts[1] end
    return self:node("joining", from, { parts = parts })
end

function parser:product() return self:binary("power", products) end
function parser:power() return self:binary("unary", powers) end

function parser:unary(without_filters)
    local from = self.token.from
    local sign = self:skip "-" or self:skip "+"
    local node
    if sign then
        node = self:node("sign", from, { sign = sign.value, value = self:nest("unary", true) })
    else
        node = self:primary()
    end
    node = self:postfix(node)
    return without_filters and node or self:filters(node)
end

-- ---- primaries ----

local constants = {
    ["true"] = { value = true }, True = { value = true }, ["false"] = { value = false }, False = { value = false },
    none = {}, None = {},
}

function parser:primary()
    local token = self.token
    local from = token.from
    if token.kind == "name" then
        self:advance()
        local constant = constants[token.value]
        if constant then return self:node("constant", from, { value = constant.value }) end
        return self:node("name", from, { name = token.value })
    elseif token.kind == "string" then
        local parts = {}
        while self.token.kind == "string" do parts[#parts + 1] = self:advance().value end
        return self:node("constant", from, { value = table.concat(parts) })
    elseif token.kind == "integer" or token.kind == "float" then
        return self:node("constant", from, { value = self:advance().value })
    elseif self:skip "(" then
        local node = self:nest("tuple", true)
        self:expect ")"
        return node
    elseif self:skip "[" then
        return self:node("list", from, { items = self:items "]" })
    elseif self:skip "{" then
        return self:dict(from)
    end
    self:wrong "an expression"
end

-- Expressions up to the closing bracket.
function parser:items(close)
    local items = {}
    while not self:skip(close) do
        if #items > 0 then
            self:expect ","
            if self:skip(close) then break end
        end
        items[#items + 1] = self:expression()
    end
    return items
end

function parser:dict(from)
    local keys, values = {}, {}
    while not self:skip "}" do
        if #keys > 0 then
            self:expect ","
            if self:skip "}" then break end
        end
        keys[#keys + 1] = self:expression()
        self:expect ":"
        values[#values + 1] = self:expression()
    end
    return self:node("dict", from, { keys = keys, values = values })
end

-- One expression, or several with commas. in_brackets: none at all is a tuple too. element: the parser of each.
function parser:tuple(in_brackets, element)
    local from, items, is_tuple = self.token.from, {}, false
    while true do
        local token = self.token
        if token.kind:find "_end$" or self:is ")" or self:is("in", "name") then break end
        items[#items + 1] = self[element or "expression"](self)
        if not self:skip "," then break end
        is_tuple = true
    end
    if not is_tuple and items[1] then return items[1] end
    if #items == 0 and not in_brackets then self:wrong "an expression" end
    return self:node("tuple", from, { items = items })
end

-- ---- what follows a value ----

function parser:postfix(node)
    while true do
        if self:skip "." then
            local token = self:advance()
            if token.kind ~= "name" and token.kind ~= "integer" then
                fail("a name expected after '.'", token.from, token.to)
            end
            node = self:node(token.kind == "name" and "attribute" or "item", node.from, { object = node,
                name = token.value, key = token.kind == "integer" and self:node("constant", token.from,
                    { value = token.value }) or nil })
        elseif self:skip "[" then
            node = self:subscript(node)
        elseif self:is "(" then
            node = self:call(node)
        else
            return node
        end
    end
end

function parser:subscript(object)
    local from, parts, colons = self.token.from, {}, 0
    while not self:is "]" do
        if self:skip ":" then
            colons = colons + 1
        else
            if parts[colons + 1] then self:wrong "']'" end
            parts[colons + 1] = self:expression()
            if colons == 0 and self:is "," then
                local items = { parts[1] }
                while self:skip "," do items[#items + 1] = self:expression() end
                parts[1] = self:node("tuple", from, { items = items })
            end
        end
    end
    self:expect "]"
    if colons > 2 or (colons == 0 and not parts[1]) then fail("bad subscript", from, self.token.from) end
    if colons == 0 then return self:node("item", object.from, { object = object, key = parts[1] }) end
    return self:node("slice", object.from, { object = object, start = parts[1], stop = parts[2], step = parts[3] })
end

-- { positional, named = { {name, value}, ... }, list =, dict = }
function parser:arguments()
    local arguments = { named = {} }
    self:expect "("
    local first = true
    while not self:skip ")" do
        if not first then
            self:expect ","
            if self:skip ")" then break end
        end
        first = false
        local following = self.tokens[self.at + 1]
        if self:skip "*" then
            arguments.list = self:expression()
        elseif self:skip "**" then
            arguments.dict = self:expression()
        elseif self.token.kind == "name" and following.kind == "operator" and following.value == "=" then
            local name = self:advance().value
            self:advance()
            arguments.named[#arguments.named + 1] = { name = name, value = self:expression() }
        else
            if #arguments.named > 0 then self:fail "a positional argument after a named one" end
            arguments[#arguments + 1] = self:expression()
        end
    end
    return arguments
end

function parser:call(target)
    local arguments = self:arguments()
    return self:node("call", target.from, { target = target, arguments = arguments })
end

function parser:dotted()
    local name = self:name()
    while self:skip "." do name = name .. "." .. self:name() end
    return name
end

function parser:filters(node)
    while true do
        if self:skip "|" then
            node = self:filter(node)
        elseif self:skip("is", "name") then
            node = self:test(node)
        elseif self:is "(" then
            node = self:call(node)
        else
            return node
        end
    end
end

function parser:filter(value)
    local from = value and value.from or self.token.from
    local name = self:dotted()
    local arguments = self:is "(" and self:arguments() or { named = {} }
    return self:node("filter", from, { name = name, value = value, arguments = arguments })
end

local starts_operand = { name = true, string = true, integer = true, float = true }
local after_test = { ["else"] = true, ["or"] = true, ["and"] = true, ["if"] = true, ["in"] = true, ["is"] = true,
    ["not"] = true }

function parser:test(value)
    local negated = self:skip("not", "name") ~= nil
    local name = self:dotted()
    local arguments = { named = {} }
    local token = self.token
    if self:is "(" then
        arguments = self:arguments()
    elseif (starts_operand[token.kind] and not (token.kind == "name" and after_test[token.value]))
        or self:is "[" or self:is "{" then
        arguments[1] = self:postfix(self:primary())
    end
    return self:node("test", value.from, { name = name, value = value, arguments = arguments, negated = negated })
end

core.template_grammar = parser
