-- The values of templates, with Python's meaning. Strings, numbers and booleans are Lua's; the others are tables with a
-- kind: none, undefined (hint), list and tuple (a sequence), dict (keys in order, values), namespace (values),
-- function (call), loop (values). A whole float prints as one from Lua 5.3 on; before, it is an integer.
local llm, core = ...
local text = core.template_text

local values = {}
core.template_values = values

local none = { kind = "none" }
values.none = none

function values.fail(message) core.template_fail(message) end
local fail = values.fail

function values.undefined(hint) return { kind = "undefined", hint = hint } end
function values.list(items) items.kind = "list" return items end
function values.tuple(items) items.kind = "tuple" return items end
function values.dict() return { kind = "dict", keys = {}, values = {} } end
function values.callable(name, call) return { kind = "function", name = name, call = call } end

function values.kind(v)
    local t = type(v)
    return t == "table" and v.kind or t
end
local kind = values.kind

local function is_sequence(v)
    return type(v) == "table" and (v.kind == "list" or v.kind == "tuple")
end
values.is_sequence = is_sequence

local math_type = math.type
function values.is_float(n)
    if math_type then return math_type(n) == "float" end
    return n ~= math.floor(n) or math.abs(n) > 2 ^ 53
end
local is_float = values.is_float

local names = { none = "NoneType", string = "str", boolean = "bool", undefined = "Undefined" }
function values.type_name(v)
    if type(v) == "number" then return is_float(v) and "float" or "int" end
    return names[kind(v)] or kind(v)
end
local type_name = values.type_name

-- ---- dicts ----

local function key_of(key)
    local k = kind(key)
    if k == "string" or k == "number" or k == "boolean" or k == "none" then return key end
    fail("unhashable type: '" .. type_name(key) .. "'")
end

function values.put(dict, key, value)
    key = key_of(key)
    if dict.values[key] == nil then dict.keys[#dict.keys + 1] = key end
    dict.values[key] = value
end

function values.get(dict, key)
    if kind(key) == "undefined" then return nil end
    return dict.values[key_of(key)]
end

-- ---- from Lua ----

local customary = {}
for i, name in ipairs { "type", "function", "name", "description", "parameters", "properties", "required" } do
    customary[name] = i
end

-- Keys in the order they were decoded in, then in the customary one, then sorted.
local function sorted_keys(t, order)
    local keys = {}
    for key in pairs(t) do
        if type(key) ~= "string" and type(key) ~= "number" then
            core.raise("a template takes no table with a key of type " .. type(key))
        end
        keys[#keys + 1] = key
    end
    local function rank(key) return order and order[key] or (customary[key] or 100) + 1e9 end
    table.sort(keys, function(a, b)
        local ra, rb = rank(a), rank(b)
        if ra ~= rb then return ra < rb end
        if type(a) ~= type(b) then return type(a) == "number" end
        return a < b
    end)
    return keys
end

local function is_list(t, mark)
    if mark == true then return true end
    if mark or #t == 0 then return false end
    local n = 0
    for key in pairs(t) do
        if type(key) ~= "number" then return false end
        n = n + 1
    end
    return n == #t
end

-- size: { n = }, to which the steps are added that what is given may cost: there are templates that look at all
-- messages from each.
local function from_lua(v, size, depth)
    local t = type(v)
    if size.n > 2 ^ 32 then core.raise "the values of a template are too large" end
    size.n = size.n + (t == "string" and #v or t == "table" and 5000 or 10)
    if t == "string" or t == "number" or t == "boolean" then return v end
    if v == nil or v == llm.null then return none end
    if t ~= "table" then core.raise("a template takes no value of type " .. t) end
    if depth > 100 then core.raise "the values of a template are nested too deep; is it a cycle?" end
    local mark = core.marks[v]
    if is_list(v, mark) then
        local list = values.list {}
        for i = 1, #v do list[i] = from_lua(v[i], size, depth + 1) end
        return list
    end
    local dict = values.dict()
    for _, key in ipairs(sorted_keys(v, mark)) do values.put(dict, key, from_lua(v[key], size, depth + 1)) end
    return dict
end
function values.from_lua(v, size) return from_lua(v, size, 0) end

-- ---- numbers ----

local LARGEST = 2 ^ 53

-- Integers that every Lua's numbers hold exactly.
function values.integer(n)
    if not (n >= -LARGEST and n <= LARGEST) then fail "an integer too large" end
    return math.floor(n)
end

-- A boolean counts as 0 or 1; nil for what is no number.
function values.number(v)
    if v == true then return 1 elseif v == false then return 0 end
    return type(v) == "number" and v or nil
end

local function float_text(n)
    if n ~= n then return "nan" end
    if n == math.huge then return "inf" elseif n == -math.huge then return "-inf" end
    local s
    for digits = 0, 16 do -- the shortest that reads back
        s = ("%." .. digits .. "e"):format(n)
        if tonumber(s) == n then break end
    end
    local sign, whole, fraction, exponent = s:match "^(%-?)(%d)[.,]?(%d*)e([+-]%d+)$"
    local digits, e = whole .. fraction, tonumber(exponent)
    if e < -4 or e >= 16 then
        return sign .. whole .. (fraction ~= "" and "." .. fraction or "") .. ("e%s%02d"):format(e < 0 and "-" or "+",
            math.abs(e))
    end
    if e < 0 then return sign .. "0." .. ("0"):rep(-e - 1) .. digits end
    if #digits <= e + 1 then return sign .. digits .. ("0"):rep(e + 1 - #digits) .. ".0" end
    return sign .. digits:sub(1, e + 1) .. "." .. digits:sub(e + 2)
end

local function number_text(n)
    if is_float(n) then return float_text(n) end
    return ("%d"):format(n)
end
values.number_text = number_text

-- ---- truth, equality, order ----

function values.truth(v)
    if type(v) ~= "table" then return v ~= false and v ~= "" and v ~= 0 end
    local k = v.kind
    if k == "none" or k == "undefined" then return false end
    if k == "list" or k == "tuple" then return #v > 0 end
    if k == "dict" then return #v.keys > 0 end
    return true
end

local function equal(run, a, b, depth)
    if a == b then return true end
    local ka, kb = kind(a), kind(b)
    if ka == "boolean" or kb == "boolean" then
        local na = values.number(a)
        return na ~= nil and na == values.number(b)
    end
    if ka ~= kb then return false end
    if ka == "undefined" then return true end
    if ka == "string" or ka == "number" then return false end
    if depth > 100 then fail "nested too deep" end
    run:charge(1)
    if is_sequence(a) then
        if #a ~= #b then return false end
        for i = 1, #a do
            if not equal(run, a[i], b[i], depth + 1) then return false end
        end
        return true
    elseif ka == "dict" then
        if #a.keys ~= #b.keys then return false end
        for _, key in ipairs(a.keys) do
            local other = b.values[key]
            if other == nil or not equal(run, a.values[key], other, depth + 1) then return false end
        end
        return true
    end
    return false
end
function values.equal(run, a, b) return equal(run, a, b, 0) end

-- Bytes in the order of UTF-8, which is that of code points; Lua's own order knows the locale.
local function text_less(a, b)
    local n = math.min(#a, #b)
    for i = 1, n do
        local x, y = a:byte(i), b:byte(i)
        if x ~= y then return x < y end
    end
    return #a < #b
end

function values.less(run, a, b)
    run:charge(3)
    local na, nb = values.number(a), values.number(b)
    if na and nb then return na < nb end
    if type(a) == "string" and type(b) == "string" then
        run:charge_size(math.min(#a, #b) * 8)
        return text_less(a, b)
    end
    if is_sequence(a) and kind(a) == kind(b) then
        for i = 1, math.min(#a, #b) do
            if not values.equal(run, a[i], b[i]) then return values.less(run, a[i], b[i]) end
        end
        return #a < #b
    end
    for _, v in ipairs { a, b } do
        if kind(v) == "undefined" then fail(v.hint) end
    end
    fail(("'%s' and '%s' have no order"):format(type_name(a), type_name(b)))
end

-- A merge sort: stable, as Python's, and free to raise.
function values.sort(run, list, less)
    local from, to, width, n = list, {}, 1, #list
    run:charge(n)
    while width < n do
        for start = 1, n, 2 * width do
            local i, j = start, start + width
            local i_end, j_end = math.min(j, n + 1), math.min(j + width, n + 1)
            for k = start, j_end - 1 do
                if i < i_end and (j >= j_end or not less(from[j], from[i])) then
                    to[k], i = from[i], i + 1
                else
                    to[k], j = from[j], j + 1
                end
            end
        end
        from, to, width = to, from, 2 * width
    end
    local sorted = {}
    for i = 1, n do sorted[i] = from[i] end
    return sorted
end

-- ---- text ----

local function write(run, v, out, depth, quoted)
    run:charge(1)
    if depth > 100 then fail "nested too deep" end
    local k = kind(v)
    local s
    if k == "string" then s = quoted and text.quote(v) or v
    elseif k == "number" then s = number_text(v)
    elseif k == "boolean" then s = v and "True" or "False"
    elseif k == "none" then s = "None"
    elseif k == "undefined" then s = quoted and "Undefined" or ""
    elseif k == "list" or k == "tuple" then
        out[#out + 1] = k == "list" and "[" or "("
        for i = 1, #v do
            if i > 1 then out[#out + 1] = ", " end
            write(run, v[i], out, depth + 1, true)
        end
        s = k == "list" and "]" or #v == 1 and ",)" or ")"
    elseif k == "dict" or k == "namespace" then
        out[#out + 1] = k == "dict" and "{" or "<Namespace {"
        for i, key in ipairs(v.keys) do
            if i > 1 then out[#out + 1] = ", " end
            write(run, key, out, depth + 1, true)
            out[#out + 1] = ": "
            write(run, v.values[key], out, depth + 1, true)
        end
        s = k == "dict" and "}" or "}>"
    else
        s = "<" .. k .. (v.name and " " .. v.name or "") .. ">"
    end
    run:charge_size(#s)
    out[#out + 1] = s
end

function values.tostring(run, v)
    if type(v) == "string" then return v end
    local out = {}
    write(run, v, out, 0, false)
    return table.concat(out)
end

function values.repr(run, v)
    local out = {}
    write(run, v, out, 0, true)
    return table.concat(out)
end

-- ---- JSON, as Python's json.dumps writes it ----

local function json_key(key)
    if type(key) == "string" then return key end
    if key == none then return "null" end
    if type(key) == "boolean" then return key and "true" or "false" end
    return number_text(key)
end

local special_numbers = { nan = "NaN", inf = "Infinity", ["-inf"] = "-Infinity" }

-- style: ascii, indent (the blanks of one level, or nil), item, key (separators), sort
local function write_json(run, v, out, style, depth)
    run:charge(1)
    if depth > 100 then fail "nested too deep" end
    local k = kind(v)
    local s
    if k == "string" then s = text.json(v, style.ascii)
    elseif k == "number" then
        s = number_text(v)
        s = special_numbers[s] or s
    elseif k == "boolean" then s = v and "true" or "false"
    elseif k == "none" then s = "null"
    elseif k == "list" or k == "tuple" or k == "dict" then
        local items, is_dict = k == "dict" and v.keys or v, k == "dict"
        if is_dict and style.sort then
            items = values.sort(run, items, function(a, b) return values.less(run, a, b) end)
        end
        local line = style.indent and "\n" .. style.indent:rep(depth + 1) or ""
        local separator = style.item .. line
        out[#out + 1] = is_dict and "{" or "["
        for i = 1, #items do
            run:charge_size(#separator)
            out[#out + 1] = i == 1 and line or separator
            if is_dict then out[#out + 1] = text.json(json_key(items[i]), style.ascii) .. style.key end
            local item = items[i]
            if is_dict then item = v.values[item] end
            write_json(run, item, out, style, depth + 1)
        end
        if #items > 0 and style.indent then out[#out + 1] = "\n" .. style.indent:rep(depth) end
        s = is_dict and "}" or "]"
    else
        fail("a value of type " .. type_name(v) .. " is not JSON serializable")
    end
    run:charge_size(#s)
    out[#out + 1] = s
end

function values.json(run, v, style)
    local out = {}
    write_json(run, v, out, style, 0)
    return table.concat(out)
end

-- ---- sequences ----

-- The items of a value that can be iterated, as a plain list; nil for one that cannot.
function values.items(run, v)
    local k = kind(v)
    if k == "list" or k == "tuple" then
        run:charge(#v / 8)
        return v
    elseif k == "dict" then return v.keys
    elseif k == "undefined" then return {}
    elseif k == "string" then
        run:charge(#v)
        return text.chars(v)
    end
end

function values.iterate(run, v)
    return values.items(run, v) or fail("'" .. type_name(v) .. "' object is not iterable")
end

function values.length(run, v)
    local k = kind(v)
    if k == "string" then
        run:charge_size(#v)
        return text.length(v)
    end
    local items = values.items(run, v)
    if not items then fail("object of type '" .. type_name(v) .. "' has no len()") end
    return #items
end

function values.contains(run, container, v)
    local k = kind(container)
    if k == "string" then
        if type(v) ~= "string" then
            fail("'in <string>' requires string as left operand, not " .. type_name(v))
        end
        run:charge_size(#container)
        return container:find(v, 1, true) ~= nil
    elseif k == "dict" then
        return values.get(container, v) ~= nil
    end
    local items = values.items(run, container)
    if not items then fail("argument of type '" .. type_name(container) .. "' is not iterable") end
    for i = 1, #items do
        run:charge(1)
        if values.equal(run, items[i], v) then return true end
    end
    return false
end

-- Places (from 1) of a slice of n items: first, last, step.
function values.slice_places(n, start, stop, step)
    step = step or 1
    if step == 0 then fail "slice step cannot be zero" end
    local low, high = step > 0 and 0 or -1, step > 0 and n or n - 1
    local function place(v, otherwise)
        if v == nil then return otherwise end
        if v < 0 then v = v + n end
        return math.max(low, math.min(high, v))
    end
    local first, after = place(start, step > 0 and low or high), place(stop, step > 0 and high or low)
    return first + 1, step > 0 and after or after + 2, step
end
