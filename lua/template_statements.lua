-- The statements of a template: the other half of the parser.
local _, core = ...
local parser, fail = core.template_grammar, core.template_fail

local statements = {} -- name -> function(parser, from) that returns a node, the name being consumed

-- Nodes up to a statement of one of these names, whose name is the next token; without names: to the end.
function parser:body(...)
    local ends, list = {}, {}
    for _, name in ipairs { ... } do ends[name] = true end
    while true do
        local token = self.token
        if token.kind == "data" then
            self:advance()
            list[#list + 1] = self:node("data", token.from, { text = token.value })
        elseif token.kind == "variable_begin" then
            self:advance()
            local expression = self:tuple()
            self:expect_kind("variable_end", "'}}'")
            list[#list + 1] = self:node("output", token.from, { expression = expression })
        elseif token.kind == "block_begin" then
            self:advance()
            if self.token.kind == "name" and ends[self.token.value] then return list end
            list[#list + 1] = self:nest "statement"
        elseif next(ends) then
            local names = {}
            for name in pairs(ends) do names[#names + 1] = "'" .. name .. "'" end
            table.sort(names)
            self:wrong(table.concat(names, " or "))
        else
            return list
        end
    end
end

function parser:statement()
    local from = self.token.from
    local name = self:name()
    local statement = statements[name]
    if not statement then fail("unknown statement '" .. name .. "'", from, from + #name - 1) end
    return statement(self, from)
end

function parser:close() self:expect_kind("block_end", "'%}'") end

-- The body of a statement to its end; the opening tag is closed first.
function parser:block(last)
    self:close()
    local body = self:body(last)
    self:advance()
    self:close()
    return body
end

statements["if"] = function(self, from)
    local branches, otherwise = {}, nil
    repeat
        local test = self:tuple()
        self:close()
        branches[#branches + 1] = { test = test, body = self:body("elif", "else", "endif") }
        local word = self:advance().value
        if word == "else" then
            otherwise = self:block "endif"
        elseif word == "endif" then
            self:close()
        end
    until word ~= "elif"
    return self:node("if", from, { branches = branches, otherwise = otherwise })
end

-- A name, a namespace's attribute, or a list of names.
function parser:target_name()
    if self:skip "(" then
        local node = self:nest "target"
        self:expect ")"
        return node
    end
    local from, name = self.token.from, self:name()
    if self:skip "." then
        return self:node("target_attribute", from, { name = name, attribute = self:name() })
    end
    return self:node("target", from, { name = name })
end

function parser:target()
    local node = self:tuple(false, "target_name")
    return node
end

statements["for"] = function(self, from)
    local target = self:target()
    self:expect("in", "name")
    local iterated = self:tuple(false, "disjunction")
    local test = self:skip("if", "name") and self:expression() or nil
    if self:skip("recursive", "name") then fail("recursive loops are not supported", from, self.token.from) end
    self:close()
    self.loops = self.loops + 1
    local body, otherwise = self:body("else", "endfor"), nil
    self.loops = self.loops - 1
    if self:advance().value == "else" then otherwise = self:block "endfor" else self:close() end
    return self:node("for", from,
        { target = target, iterated = iterated, test = test, body = body, otherwise = otherwise })
end

for _, name in ipairs { "break", "continue" } do
    statements[name] = function(self, from)
        if self.loops == 0 then fail("'" .. name .. "' outside of a loop", from, self.token.from) end
        self:close()
        return self:node(name, from)
    end
end

statements["set"] = function(self, from)
    local target = self:target()
    if self:skip "=" then
        local value = self:tuple()
        self:close()
        return self:node("set", from, { target = target, value = value })
    end
    local filter
    while self:skip "|" do filter = self:filter(filter) end
    return self:node("set_block", from, { target = target, filter = filter, body = self:block "endset" })
end

-- { {name, default}, ... }
function parser:parameters()
    local list = {}
    self:expect "("
    while not self:skip ")" do
        if #list > 0 then self:expect "," end
        local parameter = { name = self:name() }
        if self:skip "=" then
            parameter.default = self:expression()
        elseif #list > 0 and list[#list].default then
            self:fail "a parameter without a default after one with"
        end
        list[#list + 1] = parameter
    end
    return list
end

-- Loops outside do not reach into a macro.
function parser:macro_body(last)
    local loops = self.loops
    self.loops = 0
    local body = self:block(last)
    self.loops = loops
    return body
end

statements.macro = function(self, from)
    local name = self:name()
    local parameters = self:parameters()
    local body = self:macro_body "endmacro"
    return self:node("macro", from, { name = name, parameters = parameters, body = body })
end

statements.call = function(self, from)
    local parameters = self:is "(" and self:parameters() or {}
    local call = self:expression()
    if call.kind ~= "call" then fail("a call expected", call.from, call.to) end
    local body = self:macro_body "endcall"
    return self:node("call_block", from, { name = "caller", parameters = parameters, call = call, body = body })
end

statements.filter = function(self, from)
    local filter = self:filter()
    while self:skip "|" do filter = self:filter(filter) end
    return self:node("filter_block", from, { filter = filter, body = self:block "endfilter" })
end

statements.with = function(self, from)
    local targets, values = {}, {}
    while self.token.kind ~= "block_end" do
        if #targets > 0 then self:expect "," end
        targets[#targets + 1] = self:target_name()
        self:expect "="
        values[#values + 1] = self:expression()
    end
    return self:node("with", from, { targets = targets, values = values, body = self:block "endwith" })
end

-- Marks what the assistant wrote, for training.
statements.generation = function(self, from)
    return self:node("with", from, { targets = {}, values = {}, body = self:block "endgeneration" })
end

-- Returns the tree and the text that its places refer to.
function core.template_parse(source)
    local tokens, seen = core.template_lexer.tokens(source)
    local self = setmetatable({ tokens = tokens, at = 1, token = tokens[1], depth = 0, loops = 0 }, parser)
    return self:body(), seen
end
