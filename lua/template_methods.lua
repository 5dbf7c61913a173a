-- What values of templates can do: methods of strings, lists and dicts, attributes and items.
local _, core = ...
local text, values = core.template_text, core.template_values
local fail, kind = values.fail, values.kind

local methods = { string = {}, list = {}, tuple = {}, dict = {} }
local strings, lists, dicts = methods.string, methods.list, methods.dict
core.template_methods = methods

-- The argument at i, or of that name.
function values.argument(args, named, i, name, otherwise)
    local v = args[i]
    if v == nil then v = named[name] end
    if v == nil then return otherwise end
    return v
end
local argument = values.argument

function values.want_string(v, what)
    if type(v) == "string" then return v end
    if kind(v) == "undefined" then fail(v.hint) end
    fail((what or "argument") .. " must be str, not " .. values.type_name(v))
end
local want_string = values.want_string

function values.want_integer(v, otherwise)
    if v == nil or v == values.none then return otherwise end
    local n = values.number(v)
    if not n or n ~= math.floor(n) then fail("an integer expected, got " .. values.type_name(v)) end
    return n
end
local want_integer = values.want_integer

-- ---- strings ----

local function strips(strip)
    return function(_, s, args)
        local set = args[1]
        return strip(s, set ~= nil and set ~= values.none and want_string(set) or nil)
    end
end
strings.strip, strings.lstrip, strings.rstrip = strips(text.strip), strips(text.lstrip), strips(text.rstrip)

for _, name in ipairs { "upper", "lower", "title", "capitalize" } do
    strings[name] = function(_, s) return text[name](s) end
end
strings.casefold = strings.lower
function strings.swapcase(_, s)
    return (s:gsub("%a", function(c) return c == text.upper(c) and text.lower(c) or text.upper(c) end))
end

local function splits(from_right)
    return function(run, s, args, named)
        run:charge_size(#s * 16)
        local separator = argument(args, named, 1, "sep", values.none)
        local limit = want_integer(argument(args, named, 2, "maxsplit"), -1)
        if separator == values.none then return values.list(text.words(s, limit, from_right)) end
        if want_string(separator, "separator") == "" then fail "empty separator" end
        return values.list(text.split(s, separator, limit, from_right))
    end
end
strings.split, strings.rsplit = splits(false), splits(true)

function strings.splitlines(_, s, args, named)
    return values.list(text.lines(s, values.truth(argument(args, named, 1, "keepends", false))))
end

function strings.partition(_, s, args)
    local parts = text.split(s, want_string(args[1]), 1)
    return values.tuple { parts[1], parts[2] and args[1] or "", parts[2] or "" }
end

function strings.rpartition(_, s, args)
    local parts = text.split(s, want_string(args[1]), 1, true)
    if not parts[2] then return values.tuple { "", "", s } end
    return values.tuple { parts[1], args[1], parts[2] }
end

-- Whether the test is true for the string or one of a tuple of them.
local function any(v, test)
    if kind(v) ~= "tuple" then return test(want_string(v)) end
    for i = 1, #v do
        if test(want_string(v[i])) then return true end
    end
    return false
end

local function cut(s, args)
    if args[2] == nil then return s end
    return values.slice(nil, s, want_integer(args[2]), want_integer(args[3]))
end

function strings.startswith(_, s, args)
    s = cut(s, args)
    return any(args[1], function(prefix) return s:sub(1, #prefix) == prefix end)
end

function strings.endswith(_, s, args)
    s = cut(s, args)
    return any(args[1], function(suffix) return suffix == "" or s:sub(-#suffix) == suffix end)
end

function strings.removeprefix(_, s, args)
    local prefix = want_string(args[1])
    return s:sub(1, #prefix) == prefix and s:sub(#prefix + 1) or s
end

function strings.removesuffix(_, s, args)
    local suffix = want_string(args[1])
    return suffix ~= "" and s:sub(-#suffix) == suffix and s:sub(1, -#suffix - 1) or s
end

function strings.replace(run, s, args, named)
    local pattern, with = want_string(args[1]), want_string(args[2])
    local limit = want_integer(argument(args, named, 3, "count"), -1)
    run:check_size((#s + 1) * (#with + 1) / math.max(1, #pattern) + #s)
    return text.replace(s, pattern, with, limit)
end

local function finds(from_right, must)
    return function(_, s, args)
        local what = want_string(args[1])
        local at
        if args[2] ~= nil then fail "a place to start from is not supported" end
        if from_right then
            local parts = text.split(s, what ~= "" and what or fail "empty substring", 1, true)
            at = parts[2] and #parts[1] + 1
        else
            at = s:find(what, 1, true)
        end
        if not at and must then fail "substring not found" end
        return at and text.length(s:sub(1, at - 1)) or -1
    end
end
strings.find, strings.rfind, strings.index, strings.rindex = finds(false), finds(true), finds(false, true),
    finds(true, true)

function strings.count(_, s, args)
    local what = want_string(args[1])
    return what == "" and text.length(s) + 1 or #text.split(s, what, -1) - 1
end

function strings.join(run, s, args)
    local list = {}
    for i, item in ipairs(values.iterate(run, args[1])) do
        list[i] = want_string(item, "sequence item " .. i - 1)
        run:charge_size(#item + #s)
    end
    return table.concat(list, s)
end

local function pads(left, right)
    return function(run, s, args)
        local n, fill = want_integer(args[1], 0) - text.length(s), args[2] or " "
        if n <= 0 then return s end
        run:check_size(#s + n)
        local before = left and right and math.floor(n / 2) or left and n or 0
        return want_string(fill):rep(before) .. s .. fill:rep(n - before)
    end
end
strings.ljust, strings.rjust, strings.center = pads(false, true), pads(true, false), pads(true, true)

function strings.zfill(run, s, args)
    local sign, digits = s:match "^([+-]?)(.*)$"
    local n = want_integer(args[1], 0) - text.length(s)
    run:check_size(#s + math.max(n, 0))
    return sign .. ("0"):rep(n) .. digits
end

for name, pattern in pairs { isdigit = "^%d+$", isnumeric = "^%d+$", isdecimal = "^%d+$", isalpha = "^[%a\128-\255]+$",
    isalnum = "^[%w\128-\255]+$" } do
    strings[name] = function(_, s) return s:find(pattern) ~= nil end
end
function strings.isspace(_, s) return s ~= "" and text.strip(s) == "" end
function strings.isupper(_, s) return s:find "%u" ~= nil and not s:find "%l" end
function strings.islower(_, s) return s:find "%l" ~= nil and not s:find "%u" end

-- "{} {1} {name}", without format specifications
function strings.format(run, s, args, named)
    local n = 0
    run:charge_size(#s * 4)
    return (s:gsub("{([{%w_]*)}?}?", function(name)
        if name:sub(1, 1) == "{" then return "{" .. name:sub(2) end
        local index = tonumber(name)
        if name == "" then index, n = n, n + 1 end
        local v
        if index then v = args[index + 1] else v = named[name] end
        if v == nil then fail("format: nothing for '{" .. name .. "}'") end
        local piece = values.tostring(run, v)
        run:charge_size(#piece)
        return piece
    end))
end

-- "%s %d" % values
function values.format(run, s, args)
    local n, total = 0, 0
    local formatted = s:gsub("%%([-+ 0#]*)(%d*)(%.?%d*)([%a%%])", function(flags, width, precision, letter)
        if letter == "%" then return "%" end
        n = n + 1
        local v = args[n]
        if v == nil then fail "not enough arguments for the format" end
        if #width > 3 or #precision > 3 or #flags > 4 then fail "a width too large in the format" end
        local piece
        if letter == "s" or letter == "r" then
            piece = letter == "s" and values.tostring(run, v) or values.repr(run, v)
            local missing = (tonumber(width) or 0) - text.length(piece)
            local blanks = (" "):rep(missing)
            piece = flags:find("-", 1, true) and piece .. blanks or blanks .. piece
        elseif letter:find "[dixXofeEgG]" then
            local number = values.number(v) or fail("%" .. letter .. " format: a number is required")
            if letter:find "[dixXo]" then
                number = values.integer(number < 0 and math.ceil(number) or math.floor(number))
                letter = letter == "i" and "d" or letter
            end
            piece = ("%" .. flags .. width .. precision .. letter):format(number)
        else
            fail("unsupported format character '" .. letter .. "'")
        end
        total = total + #piece
        run:check_size(total)
        return piece
    end)
    if args[n + 1] ~= nil then fail "not all arguments converted during string formatting" end
    return formatted
end

-- ---- lists and dicts ----

function lists.append(run, list, args)
    run:charge(1)
    if args[1] == nil then fail "append() takes one argument" end
    list[#list + 1] = args[1]
    return values.none
end

function lists.extend(run, list, args)
    local items = values.iterate(run, args[1])
    run:charge(#items)
    for i = 1, #items do list[#list + 1] = items[i] end
    return values.none
end

function lists.insert(run, list, args)
    local n = #list
    local at = want_integer(args[1], 0)
    if at < 0 then at = math.max(0, at + n) end
    run:charge(n)
    table.insert(list, math.min(at, n) + 1, args[2])
    return values.none
end

function lists.pop(run, list, args)
    local n = #list
    local at = want_integer(args[1], -1)
    if at < 0 then at = at + n end
    if at < 0 or at >= n then fail(n == 0 and "pop from empty list" or "pop index out of range") end
    run:charge((n - at) / 8)
    return table.remove(list, at + 1)
end

function lists.index(run, list, args)
    for i = 1, #list do
        if values.equal(run, list[i], args[1]) then return i - 1 end
    end
    fail "the value is not in the list"
end

function lists.count(run, list, args)
    local n = 0
    for i = 1, #list do n = n + (values.equal(run, list[i], args[1]) and 1 or 0) end
    return n
end

function lists.reverse(_, list)
    local n = #list
    for i = 1, math.floor(n / 2) do list[i], list[n + 1 - i] = list[n + 1 - i], list[i] end
    return values.none
end

function lists.copy(run, list) return values.slice(run, list) end
methods.tuple.index, methods.tuple.count = lists.index, lists.count

function dicts.get(_, dict, args, named)
    local v = values.get(dict, args[1])
    if v == nil then return argument(args, named, 2, "default", values.none) end
    return v
end

local function each(make)
    return function(run, dict)
        local list = {}
        run:charge(#dict.keys)
        for i, key in ipairs(dict.keys) do list[i] = make(key, dict.values[key]) end
        return values.list(list)
    end
end
dicts.keys = each(function(key) return key end)
dicts.values = each(function(_, value) return value end)
dicts.items = each(function(key, value) return values.tuple { key, value } end)

function dicts.copy(run, dict)
    local copy = values.dict()
    run:charge(#dict.keys)
    for _, key in ipairs(dict.keys) do values.put(copy, key, dict.values[key]) end
    return copy
end

function dicts.update(run, dict, args, named)
    if args[1] ~= nil then
        if kind(args[1]) ~= "dict" then fail "update() takes a dict" end
        run:charge(#args[1].keys)
        for _, key in ipairs(args[1].keys) do values.put(dict, key, args[1].values[key]) end
    end
    for name, v in pairs(named) do values.put(dict, name, v) end
    return values.none
end

function dicts.setdefault(run, dict, args)
    run:charge(1)
    local v = values.get(dict, args[1])
    if v == nil then
        v = args[2]
        if v == nil then v = values.none end
        values.put(dict, args[1], v)
    end
    return v
end

function dicts.pop(run, dict, args)
    local v = values.get(dict, args[1])
    if v == nil then
        if args[2] == nil then fail("no key " .. values.repr(run, args[1])) end
        return args[2]
    end
    run:charge(#dict.keys)
    for i, key in ipairs(dict.keys) do
        if key == args[1] then table.remove(dict.keys, i) break end
    end
    dict.values[args[1]] = nil
    return v
end

-- ---- attributes, items, slices ----

local function method(object, name)
    local of_kind = methods[kind(object)]
    local f = of_kind and of_kind[name]
    if not f then return nil end
    return values.callable(name, function(run, args, named)
        if type(object) == "string" then run:charge_size(#object * 8) end
        return f(run, object, args, named)
    end)
end

local function object_name(object)
    return kind(object) == "none" and "'None'" or "'" .. values.type_name(object) .. " object'"
end

function values.attribute(object, name)
    local k = kind(object)
    if k == "undefined" then fail(object.hint) end
    local v = method(object, name)
    if v == nil and type(object) == "table" and object.values then v = object.values[name] end
    if v ~= nil then return v end
    return values.undefined(object_name(object) .. " has no attribute '" .. name .. "'")
end

function values.item(run, object, key)
    local k = kind(object)
    if k == "undefined" then fail(object.hint) end
    local v
    if k == "dict" then
        v = values.get(object, key)
    elseif type(key) == "number" and (k == "list" or k == "tuple" or k == "string") then
        local items = object
        if k == "string" then
            run:charge_size(#object * 8)
            items = text.is_ascii(object) and object or text.chars(object)
        end
        local at = key < 0 and key + #items or key
        if type(items) == "string" then
            v = at >= 0 and at < #items and at == math.floor(at) and items:sub(at + 1, at + 1) or nil
        else
            v = items[at + 1]
        end
    end
    if v == nil and type(key) == "string" then return values.attribute(object, key) end
    if v ~= nil then return v end
    return values.undefined(object_name(object):sub(2, -2) .. " has no element " .. values.repr(run, key))
end

-- Without start, stop and step: a copy. run may be nil for a string.
function values.slice(run, object, start, stop, step)
    local k = kind(object)
    if k == "undefined" then fail(object.hint) end
    if k ~= "string" and not values.is_sequence(object) then
        fail("'" .. values.type_name(object) .. "' object cannot be sliced")
    end
    local items = object
    if k == "string" then
        if run then run:charge_size(#object * 8) end
        if text.is_ascii(object) then
            local first, last, by = values.slice_places(#object, start, stop, step)
            if by == 1 then return object:sub(first, last) end
        end
        items = text.chars(object)
    end
    local first, last, by = values.slice_places(#items, start, stop, step)
    local out = {}
    if run then run:charge(math.max(0, (last - first) / by) / 8) end
    for i = first, last, by do out[#out + 1] = items[i] end
    if k == "string" then return table.concat(out) end
    out.kind = k
    return out
end
