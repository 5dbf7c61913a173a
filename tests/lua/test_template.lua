local check = require "check"
local llm = require "llm"
local area = {}

local function read(context, name)
    local file = assert(io.open(context.folder .. "/../data/templates/" .. name, "rb"))
    local data = file:read "*a"
    file:close()
    return data
end

local function read_json(context, name) return assert(llm.json.decode(read(context, name))) end

-- Where two texts part.
local function difference(got, wanted)
    local i = 1
    while i <= #wanted and got:byte(i) == wanted:byte(i) do i = i + 1 end
    return ("from byte %d: %q, expected %q"):format(i, got:sub(i, i + 60), wanted:sub(i, i + 60))
end

local function compare(name, wanted, text, message, code)
    if type(wanted) == "table" then
        check.ok(name .. " is an error", text == nil and code == "bad_template", text)
        check.ok(name .. " says where", tostring(message):find "^template [%w ]+:%d+:%d+: .", message)
    elseif text == nil then
        check.ok(name, false, message)
    else
        check.ok(name, text == wanted, text ~= wanted and difference(text, wanted))
    end
end

-- Byte for byte what Python's jinja2 makes of published templates: tests/peer/templates.py.
function area.published(context)
    local cases, expected = read_json(context, "cases.json"), read_json(context, "expected.json")
    local n = 0
    for file, texts in pairs(expected) do
        if file:find "%.jinja$" then
            local source = read(context, file)
            for _, case in ipairs(cases) do
                n = n + 1
                compare(file .. ", " .. case.name, texts[case.name], llm.template(source, case.values))
            end
        end
    end
    check.ok("templates were there", n >= 18 * 12, n)
end

function area.language(context)
    local small, expected = read_json(context, "expressions.json"), read_json(context, "expected.json").expressions
    local whole_floats = math.type ~= nil -- before Lua 5.3, 1.0 is 1
    for _, source in ipairs(small.templates) do
        local wanted = expected[source]
        local tells = whole_floats or not source:find("1.0 is float", 1, true)
        local text, message, code = llm.template(source, small.values)
        if not whole_floats and text and type(wanted) == "string" then
            text, wanted = text:gsub("%.0", ""), wanted:gsub("%.0", "")
        end
        if tells then compare(source, wanted, text, message, code) end
    end
end

function area.messages()
    local function message(source, values) return (select(2, llm.template(source, values))) end
    check.equal("where", message("a\n  {{ x.y.z }}", { x = {} }),
        "template template:2:6: 'dict object' has no attribute 'y': x.y.z")
    check.equal("columns are characters", message "äö{{ 1 + none }}",
        "template template:1:6: unsupported operand types for +: 'int' and 'NoneType': 1 + none")
    check.equal("of the template itself", message "{{ raise_exception('no ' ~ 1) }}",
        "template template:1:4: no 1: raise_exception('no ' ~ 1)")
    check.equal("inside a macro", message "{% macro f(a) %}{{ a + 1 }}{% endmacro %}\n{{ f('x') }}",
        "template template:1:20: can only concatenate str (not \"int\") to str: a + 1")
    check.equal("syntax", message "x\n{% if a %}y", "template template:2:12: 'elif' or 'else' or 'endif' expected, "
        .. "got the end of the template")
    check.equal("unknown statement", message "{% include 'x' %}",
        "template template:1:4: unknown statement 'include': include")
    check.raises("source", "string expected", llm.template, 1)
    check.raises("values", "table expected", llm.template, "x", 1)
    check.raises("a function", "of type function", llm.template, "x", { f = print })
    local cycle = {}
    cycle.cycle = cycle
    check.raises("a cycle", "nested too deep", llm.template, "x", cycle)
    check.raises("now", "now", llm.template, "x", { now = -1 })
end

function area.values()
    local order = { parameters = 1, z = 2, name = 3, a = 4, type = 5 }
    check.equal("customary order", llm.template("{{ v | tojson }}", { v = order }),
        '{"type": 5, "name": 3, "parameters": 1, "a": 4, "z": 2}')
    check.equal("decoded order", llm.template("{{ v | tojson }}", { v = llm.json.decode '{"z":1,"type":2,"a":[]}' }),
        '{"z": 1, "type": 2, "a": []}')
    check.equal("null and empty", llm.template("{{ [a, b, c] }}", { a = llm.null, b = {}, c = llm.array {} }),
        "[None, {}, []]")
    local list = { 1 }
    llm.template("{% set _ = l.append(2) %}", { l = list })
    check.equal("what is given stays as it is", #list, 1)
end

-- A long conversation is no hostile one, not even where each message looks at all before it.
function area.long(context)
    local messages = {}
    for i = 1, 600 do
        messages[i] = { role = i % 2 == 1 and "user" or "assistant", content = ("word "):rep(40) }
    end
    local text, message = llm.template(read(context, "google-gemma-4-31B-it.jinja"), { messages = messages })
    check.ok("600 messages", text and #text > 600 * 200, message)
end

-- Ends with an error, and soon.
function area.hostile()
    local long, words = ("x"):rep(200000), ("a b"):rep(30000)
    local sources = {
        loops = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        doubling = "{% set ns = namespace(s='x') %}{% for i in range(99) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
        list = "{% set ns = namespace(l=[1]) %}{% for i in range(99) %}{% set ns.l = ns.l + ns.l %}{% endfor %}",
        repeated = "{{ 'x' * 99999999 }}", ["repeated list"] = "{{ [1] * 99999999 }}",
        recursion = "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        ["two by two"] = "{% macro f(n) %}{% if n %}{{ f(n-1) }}{{ f(n-1) }}{% endif %}{% endmacro %}{{ f(60) }}",
        brackets = "{{ " .. ("("):rep(100000) .. " }}", lists = "{{ " .. ("["):rep(100000) .. " }}",
        ["not"] = "{{ " .. ("not "):rep(50000) .. "1 }}", minus = "{{ " .. ("-"):rep(100000) .. "1 }}",
        sum = "{{ 1" .. ("+1"):rep(100000) .. " }}", attributes = "{{ x" .. (".a"):rep(100000) .. " }}",
        filters = "{{ 1" .. ("|abs"):rep(60000) .. " }}", ["if"] = ("{% if 1 %}"):rep(20000),
        ["inside itself"] = "{% set l = [] %}{% set _ = l.append(l) %}{{ l }}",
        ["equal to itself"] = "{% set l = [] %}{% set _ = l.append([l]) %}{% set m = [] %}"
            .. "{% set _ = m.append([m]) %}{{ l == m }}",
        power = "{{ 9 ** 99999 }}",
        product = "{% set ns = namespace(n=9) %}{% for i in range(99) %}{% set ns.n = ns.n * ns.n %}{% endfor %}",
        words = "{% for i in range(99999) %}{% set _ = words.split() %}{% endfor %}",
        ["one word"] = "{% for i in range(99999) %}{% set _ = s.split() %}{% endfor %}",
        search = "{% for i in range(99999) %}{{ 'y' in s }}{{ s.rsplit('x', 99999)|length }}{% endfor %}",
        slices = "{% for i in range(99999) %}{{ s[1:]|length }}{% endfor %}",
        replace = "{{ s.replace('x', s) }}", joined = "{{ ([s] * 9999)|join(s) }}",
        width = "{{ '%99999999d' % 1 }}", center = "{{ 'a'.center(99999999) }}",
        indent = "{{ s|list|join('\n')|indent(999) }}",
        ["too long"] = ("x"):rep(2 ^ 18 + 1), tags = ("{{ 1 }}"):rep(30000) .. "{{",
        white = ("{%- if 1 -%}   "):rep(9000),
        output = "{% for i in range(99999) %}{{ s }}{% endfor %}",
        sort = "{% for i in range(9999) %}{{ (s|list|sort)[0] }}{% endfor %}",
        json = "{% for i in range(9999) %}{{ (s|tojson)[0] }}{% endfor %}",
        pad = "{% for i in range(99999) %}"
            .. "{{ s|trim|upper|lower|title|capitalize|e|length }}{{ words|title }}{% endfor %}",
    }
    for name, source in pairs(sources) do
        local seconds, text, message, code = math.huge, nil, nil, nil
        for _ = 1, 3 do -- other programs may be at work
            local began = os.clock()
            text, message, code = llm.template(source, { s = long, x = {}, words = words })
            seconds = math.min(seconds, os.clock() - began)
            if seconds < 1 then break end
        end
        check.ok("hostile " .. name, text == nil and code == "bad_template", text and #text)
        check.ok("hostile " .. name .. " ends soon", seconds < 1, seconds)
        check.ok("hostile " .. name .. ": short message", #tostring(message) < 300, message)
    end
    for _, source in ipairs { "{{ ''.__class__ }}", "{{ _G }}", "{{ os }}", "{{ x.__index }}", "{{ string }}" } do
        check.equal("nothing of Lua: " .. source, llm.template(source, { x = {} }), "")
    end
end

return area
