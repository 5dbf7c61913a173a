local t = ...
local llm = require "llm"

local function read(name)
    local file = assert(io.open(t.folder .. "/../data/templates/" .. name, "rb"))
    local data = file:read "*a"
    file:close()
    return data
end

local function read_json(name) return assert(llm.json.decode(read(name))) end

-- Where two texts part.
local function difference(got, wanted)
    local i = 1
    while i <= #wanted and got:byte(i) == wanted:byte(i) do i = i + 1 end
    return ("from byte %d: %q, expected %q"):format(i, got:sub(i, i + 60), wanted:sub(i, i + 60))
end

local function compare(name, wanted, text, message, code)
    if type(wanted) == "table" then
        t.check(text == nil and code == "bad_template", name .. " is an error", text)
        t.check(tostring(message):find "^template [%w ]+:%d+:%d+: .", name .. " says where", message)
    elseif text == nil then
        t.check(false, name, message)
    else
        t.check(text == wanted, name, text ~= wanted and difference(text, wanted))
    end
end

-- Byte for byte what Python's jinja2 makes of published templates: tests/peer/templates.py.
t.test("published", function()
    local cases, expected = read_json("cases.json"), read_json("expected.json")
    local n = 0
    for file, texts in pairs(expected) do
        if file:find "%.jinja$" then
            local source = read(file)
            for _, case in ipairs(cases) do
                n = n + 1
                compare(file .. ", " .. case.name, texts[case.name], llm.template(source, case.values))
            end
        end
    end
    t.check(n >= 18 * 12, "templates were there", n)
end)

t.test("language", function()
    local small, expected = read_json("expressions.json"), read_json("expected.json").expressions
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
end)

t.test("messages", function()
    local function message(source, values) return (select(2, llm.template(source, values))) end
    t.equal(message("a\n  {{ x.y.z }}", { x = {} }),
        "template template:2:6: 'dict object' has no attribute 'y': x.y.z", "where")
    t.equal(message "äö{{ 1 + none }}",
        "template template:1:6: unsupported operand types for +: 'int' and 'NoneType': 1 + none",
        "columns are characters")
    t.equal(message "{{ raise_exception('no ' ~ 1) }}", "template template:1:4: no 1: raise_exception('no ' ~ 1)",
        "of the template itself")
    t.equal(message "{% macro f(a) %}{{ a + 1 }}{% endmacro %}\n{{ f('x') }}",
        "template template:1:20: can only concatenate str (not \"int\") to str: a + 1", "inside a macro")
    t.equal(message "x\n{% if a %}y", "template template:2:12: 'elif' or 'else' or 'endif' expected, "
        .. "got the end of the template", "syntax")
    t.equal(message "{% include 'x' %}", "template template:1:4: unknown statement 'include': include",
        "unknown statement")
    t.raises("string expected", llm.template, 1)
    t.raises("table expected", llm.template, "x", 1)
    t.raises("of type function", llm.template, "x", { f = print })
    local cycle = {}
    cycle.cycle = cycle
    t.raises("nested too deep", llm.template, "x", cycle)
    t.raises("now", llm.template, "x", { now = -1 })
end)

t.test("values", function()
    local order = { parameters = 1, z = 2, name = 3, a = 4, type = 5 }
    t.equal(llm.template("{{ v | tojson }}", { v = order }),
        '{"type": 5, "name": 3, "parameters": 1, "a": 4, "z": 2}', "customary order")
    t.equal(llm.template("{{ v | tojson }}", { v = llm.json.decode '{"z":1,"type":2,"a":[]}' }),
        '{"z": 1, "type": 2, "a": []}', "decoded order")
    t.equal(llm.template("{{ [a, b, c] }}", { a = llm.null, b = {}, c = llm.array {} }), "[None, {}, []]",
        "null and empty")
    local list = { 1 }
    llm.template("{% set _ = l.append(2) %}", { l = list })
    t.equal(#list, 1, "what is given stays as it is")
end)

-- A long conversation is no hostile one, not even where each message looks at all before it.
t.test("long", function()
    local messages = {}
    for i = 1, 600 do
        messages[i] = { role = i % 2 == 1 and "user" or "assistant", content = ("word "):rep(40) }
    end
    local text, message = llm.template(read("google-gemma-4-31B-it.jinja"), { messages = messages })
    t.check(text and #text > 600 * 200, "600 messages", message)
end)

-- Ends with an error, and soon.
t.test("hostile", function()
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
    local most = (os.getenv "LD_PRELOAD" or ""):find "asan" and 4 or 1 -- its malloc is three times slower
    for name, source in pairs(sources) do
        local seconds, text, message, code = math.huge, nil, nil, nil
        for _ = 1, 3 do -- other programs may be at work
            local began = os.clock()
            text, message, code = llm.template(source, { s = long, x = {}, words = words })
            seconds = math.min(seconds, os.clock() - began)
            if seconds < most then break end
        end
        t.check(text == nil and code == "bad_template", "hostile " .. name, text and #text)
        t.check(seconds < most, "hostile " .. name .. " ends soon", seconds)
        t.check(#tostring(message) < 300, "hostile " .. name .. ": short message", message)
    end
    for _, source in ipairs { "{{ ''.__class__ }}", "{{ _G }}", "{{ os }}", "{{ x.__index }}", "{{ string }}" } do
        t.equal(llm.template(source, { x = {} }), "", "nothing of Lua: " .. source)
    end
end)
