-- Filters and tests of templates, and the functions that templates find: name -> function(run, value, args, named).
local _, core = ...
local text, values = core.template_text, core.template_values
local fail, kind, argument = values.fail, values.kind, values.argument
local want_integer, iterate, tostr = values.want_integer, values.iterate, values.tostring

local filters, tests, globals = {}, {}, {}
core.template_filters, core.template_tests, core.template_globals = filters, tests, globals

-- ---- text ----

local methods = core.template_methods.string
for _, name in ipairs { "upper", "lower", "capitalize" } do
    filters[name] = function(run, v) return text[name](tostr(run, v)) end
end
function filters.title(run, v) -- words end at blanks and opening brackets, not at apostrophes
    return (tostr(run, v):gsub("[^%s%-({%[<]+", text.capitalize))
end
function filters.trim(run, v, args, named)
    return methods.strip(run, tostr(run, v), { argument(args, named, 1, "chars") })
end
for name, of in pairs { replace = "replace", center = "center" } do
    filters[name] = function(run, v, args, named) return methods[of](run, tostr(run, v), args, named) end
end
function filters.string(run, v) return tostr(run, v) end
function filters.safe(run, v) return tostr(run, v) end

local entities = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ["'"] = "&#39;", ['"'] = "&#34;" }
function filters.escape(run, v)
    v = tostr(run, v)
    run:charge_size(#v)
    return (v:gsub("[&<>'\"]", entities))
end
filters.e, filters.forceescape = filters.escape, filters.escape

function filters.indent(run, v, args, named)
    local width = argument(args, named, 1, "width", 4)
    local blanks = type(width) == "string" and width or (" "):rep(math.min(1000, want_integer(width)))
    local function flag(i, name) return values.truth(argument(args, named, i, name, false)) end
    local first, blank_lines = flag(2, "first"), flag(3, "blank")
    local lines = text.lines(tostr(run, v) .. "\n")
    run:check_size(#lines * #blanks)
    for i, line in ipairs(lines) do
        if (i > 1 or first) and (line ~= "" or blank_lines) then lines[i] = blanks .. line end
    end
    return table.concat(lines, "\n")
end

function filters.format(run, v, args) return values.format(run, tostr(run, v), args) end
function filters.wordcount(run, v) return #text.words(tostr(run, v), -1) end

function filters.truncate(run, v, args, named)
    local s, n = tostr(run, v), want_integer(argument(args, named, 1, "length"), 255)
    local whole = not values.truth(argument(args, named, 2, "killwords", false))
    local ending = argument(args, named, 3, "end", "...")
    if text.length(s) <= n + want_integer(argument(args, named, 4, "leeway"), 5) then return s end
    s = values.slice(run, s, 0, n - text.length(ending))
    return (whole and text.split(s, " ", 1, true)[1] or s) .. ending
end

function filters.tojson(run, v, args, named)
    local indent = argument(args, named, 2, "indent", values.none)
    local separators = argument(args, named, 3, "separators", values.none)
    local style = {
        ascii = values.truth(argument(args, named, 1, "ensure_ascii", false)),
        sort = values.truth(argument(args, named, 4, "sort_keys", false)),
        item = indent == values.none and ", " or ",", key = ": ",
    }
    if indent ~= values.none then
        style.indent = type(indent) == "string" and indent or (" "):rep(math.min(100, want_integer(indent)))
    end
    if separators ~= values.none then
        style.item, style.key = values.want_string(separators[1]), values.want_string(separators[2])
    end
    return values.json(run, v, style)
end

-- ---- numbers ----

function filters.int(_, v, args, named)
    local n = values.number(v)
    if type(v) == "string" then
        local base = want_integer(argument(args, named, 2, "base"), 10)
        local digits = text.strip(v):gsub("_", "")
        if not digits:find "^[+-]?%.?%w" then n = nil
        elseif base == 10 then n = tonumber(digits)
        else n = tonumber(digits, base) end
    end
    if not n or n ~= n or math.abs(n) == math.huge then return argument(args, named, 1, "default", 0) end
    return values.integer(n < 0 and math.ceil(n) or math.floor(n))
end

function filters.float(_, v, args, named)
    local n = values.number(v)
    if type(v) == "string" then n = tonumber(text.strip(v)) end
    return n and n + 0.0 or argument(args, named, 1, "default", 0.0)
end

function filters.abs(_, v) return math.abs(values.number(v) or fail "a number expected") end

function filters.round(_, v, args, named)
    local n = values.number(v) or fail "a number expected"
    local scale = 10.0 ^ want_integer(argument(args, named, 1, "precision"), 0)
    local method = argument(args, named, 2, "method", "common")
    local scaled = n * scale
    local whole = math.floor(scaled)
    if method == "ceil" then whole = math.ceil(scaled)
    elseif method == "common" then
        local rest = scaled - whole -- halves to the even neighbour
        if rest > 0.5 or (rest == 0.5 and whole % 2 == 1) then whole = whole + 1 end
    elseif method ~= "floor" then fail "round: method must be common, ceil or floor" end
    return whole / scale
end

-- ---- any value ----

function filters.default(_, v, args, named)
    local unset = kind(v) == "undefined"
    if values.truth(argument(args, named, 2, "boolean", false)) then unset = not values.truth(v) end
    if unset then return argument(args, named, 1, "default_value", "") end
    return v
end
filters.d = filters.default

function filters.length(run, v) return values.length(run, v) end
filters.count = filters.length

function filters.attr(_, v, args) return values.attribute(v, values.want_string(args[1])) end

-- ---- lists ----

-- "a.b" or a number as a path into each item.
local function getter(run, path)
    if type(path) == "number" then return function(v) return values.item(run, v, path) end end
    local names = text.split(values.want_string(path), ".", -1)
    return function(v)
        for _, name in ipairs(names) do v = values.item(run, v, tonumber(name) or name) end
        return v
    end
end

local function same(v) return v end

local function fold(v) return type(v) == "string" and text.lower(v) or v end

-- What items are compared by: an attribute or themselves, letter case apart.
local function key_getter(run, attribute, keeps_case)
    local get = attribute ~= nil and attribute ~= values.none and getter(run, attribute) or same
    if keeps_case then return get end
    return function(v) return fold(get(v)) end
end

local function copy(run, v)
    local list = {}
    for i, item in ipairs(iterate(run, v)) do list[i] = item end
    run:charge(#list / 4)
    return list
end

function filters.list(run, v) return values.list(copy(run, v)) end

function filters.first(run, v)
    local first = iterate(run, v)[1]
    if first == nil then return values.undefined "No first item, sequence was empty." end
    return first
end

function filters.last(run, v)
    local items = iterate(run, v)
    if #items == 0 then return values.undefined "No last item, sequence was empty." end
    return items[#items]
end

function filters.join(run, v, args, named)
    local separator = tostr(run, argument(args, named, 1, "d", ""))
    local attribute = argument(args, named, 2, "attribute")
    local get, list = attribute and getter(run, attribute) or same, {}
    for i, item in ipairs(iterate(run, v)) do
        list[i] = tostr(run, get(item))
        run:charge_size(#list[i] + #separator + 32)
    end
    return table.concat(list, separator)
end

function filters.reverse(run, v)
    local items, out = iterate(run, v), {}
    run:charge(#items / 4)
    for i = #items, 1, -1 do out[#out + 1] = items[i] end
    return type(v) == "string" and table.concat(out) or values.list(out)
end

function filters.items(run, v)
    if kind(v) == "undefined" then return values.list {} end
    if kind(v) ~= "dict" then fail "Can only get item pairs from a mapping." end
    return core.template_methods.dict.items(run, v)
end

local function sorted(run, items, get, reverse)
    local function less(a, b)
        run:charge(4)
        local x, y = get(a), get(b)
        if x == y or (kind(x) == "undefined" and kind(y) == "undefined") then return false end
        return values.less(run, x, y)
    end
    return values.list(values.sort(run, items, reverse and function(a, b) return less(b, a) end or less))
end

function filters.sort(run, v, args, named)
    local reverse = values.truth(argument(args, named, 1, "reverse", false))
    local keeps_case = values.truth(argument(args, named, 2, "case_sensitive", false))
    return sorted(run, copy(run, v), key_getter(run, argument(args, named, 3, "attribute"), keeps_case), reverse)
end

function filters.dictsort(run, v, args, named)
    local keeps_case = values.truth(argument(args, named, 1, "case_sensitive", false))
    local place = argument(args, named, 2, "by", "key") == "value" and 1 or 0
    local reverse = values.truth(argument(args, named, 3, "reverse", false))
    if kind(v) ~= "dict" then fail("dictsort: a mapping expected, got " .. values.type_name(v)) end
    return sorted(run, filters.items(run, v), key_getter(run, place, keeps_case), reverse)
end

function filters.unique(run, v, args, named)
    local get = key_getter(run, argument(args, named, 2, "attribute"),
        values.truth(argument(args, named, 1, "case_sensitive", false)))
    local seen, out = values.dict(), {}
    for _, item in ipairs(iterate(run, v)) do
        run:charge(1)
        if values.get(seen, get(item)) == nil then
            values.put(seen, get(item), true)
            out[#out + 1] = item
        end
    end
    return values.list(out)
end

function filters.groupby(run, v, args, named)
    local attribute = argument(args, named, 1, "attribute")
    local get, groups = key_getter(run, attribute, false), values.list {}
    local plain = getter(run, attribute)
    local last
    for _, item in ipairs(sorted(run, copy(run, v), get)) do
        if not last or not values.equal(run, last.key, get(item)) then
            last = values.tuple { plain(item), values.list {} }
            last.key = get(item)
            groups[#groups + 1] = last
        end
        last[2][#last[2] + 1] = item
    end
    return groups
end

local function best(worse)
    return function(run, v, args, named)
        local get = key_getter(run, argument(args, named, 2, "attribute"),
            values.truth(argument(args, named, 1, "case_sensitive", false)))
        local found
        for _, item in ipairs(iterate(run, v)) do
            if found == nil or worse(run, get(found), get(item)) then found = item end
        end
        if found == nil then return values.undefined "No aggregated item, sequence was empty." end
        return found
    end
end
filters.max = best(function(run, a, b) return values.less(run, a, b) end)
filters.min = best(function(run, a, b) return values.less(run, b, a) end)

function filters.sum(run, v, args, named)
    local attribute = argument(args, named, 1, "attribute")
    local get, total = attribute and getter(run, attribute) or same, argument(args, named, 2, "start", 0)
    for _, item in ipairs(iterate(run, v)) do total = run:binary("+", total, get(item)) end
    return total
end

function filters.batch(run, v, args, named)
    local n, fill = want_integer(args[1]), argument(args, named, 2, "fill_with")
    if not n or n < 1 then fail "batch: a size from 1 up expected" end
    local out = values.list {}
    for i, item in ipairs(copy(run, v)) do
        if (i - 1) % n == 0 then out[#out + 1] = values.list {} end
        table.insert(out[#out], item)
    end
    local last = out[#out]
    if last and fill ~= nil then
        run:charge(n)
        while #last < n do last[#last + 1] = fill end
    end
    return out
end

-- ---- filters that take filters and tests ----

local function rest(args, from)
    local out = {}
    for i = from, #args do out[#out + 1] = args[i] end
    return out
end

function filters.map(run, v, args, named)
    local out = {}
    local apply
    if args[1] == nil then
        local get, otherwise = getter(run, named.attribute or fail "map: a filter's name expected"), named.default
        apply = function(item)
            local got = get(item)
            if kind(got) == "undefined" and otherwise ~= nil then return otherwise end
            return got
        end
    else
        local filter = run:named(filters, "filter", args[1])
        local more = rest(args, 2)
        apply = function(item) return filter(run, item, more, named) end
    end
    for i, item in ipairs(iterate(run, v)) do
        run:charge(1)
        out[i] = apply(item)
    end
    return values.list(out)
end

-- wanted: what the test must give. by_attribute: of an attribute, which the first argument names.
local function selects(wanted, by_attribute)
    return function(run, v, args, named)
        local get = by_attribute and getter(run, args[1] or fail "an attribute's name expected") or same
        local at = by_attribute and 2 or 1
        local test = args[at] ~= nil and run:named(tests, "test", args[at])
        local more, out = rest(args, at + 1), {}
        for _, item in ipairs(iterate(run, v)) do
            run:charge(1)
            local got = get(item)
            local passed = test and test(run, got, more, named) or not test and values.truth(got)
            if passed == wanted then out[#out + 1] = item end
        end
        return values.list(out)
    end
end
filters.select, filters.reject = selects(true), selects(false)
filters.selectattr, filters.rejectattr = selects(true, true), selects(false, true)

-- ---- tests ----

for name, k in pairs { none = "none", string = "string", boolean = "boolean", mapping = "dict", number = "number",
    undefined = "undefined" } do
    tests[name] = function(_, v) return kind(v) == k end
end
function tests.defined(_, v) return kind(v) ~= "undefined" end
function tests.number(_, v) return values.number(v) ~= nil end
function tests.integer(_, v) return type(v) == "number" and not values.is_float(v) end
function tests.float(_, v) return type(v) == "number" and values.is_float(v) end
tests["true"] = function(_, v) return v == true end
tests["false"] = function(_, v) return v == false end
function tests.callable(_, v) return kind(v) == "function" or kind(v) == "undefined" end

local sequences = { string = true, list = true, tuple = true, dict = true, undefined = true }
function tests.sequence(_, v) return sequences[kind(v)] == true end
tests.iterable = tests.sequence

local function number_of(v) return values.number(v) or fail("a number expected, got " .. values.type_name(v)) end
function tests.odd(_, v) return number_of(v) % 2 == 1 end
function tests.even(_, v) return number_of(v) % 2 == 0 end
function tests.divisibleby(_, v, args)
    local by = number_of(args[1])
    if by == 0 then fail "division by zero" end
    return number_of(v) % by == 0
end
function tests.lower(run, v) return methods.islower(run, tostr(run, v)) end
function tests.upper(run, v) return methods.isupper(run, tostr(run, v)) end
function tests.startingwith(run, v, args) return methods.startswith(run, values.want_string(v), args) end
function tests.endingwith(run, v, args) return methods.endswith(run, values.want_string(v), args) end
tests["in"] = function(run, v, args) return values.contains(run, args[1], v) end
function tests.sameas(_, v, args) return rawequal(v, args[1]) end
function tests.escaped() return false end
function tests.filter(_, v) return filters[v] ~= nil end
function tests.test(_, v) return tests[v] ~= nil end

for operator, list in pairs { ["=="] = "eq equalto ==", ["!="] = "ne !=", ["<"] = "lt lessthan <", ["<="] = "le <=",
    [">"] = "gt greaterthan >", [">="] = "ge >=" } do
    for name in list:gmatch "%S+" do
        tests[name] = function(run, v, args) return run:compare(operator, v, args[1]) end
    end
end

-- ---- functions that templates find ----

local function add(name, call) globals[name] = values.callable(name, call) end

add("raise_exception", function(run, args) fail(tostr(run, args[1] or "")) end)

add("range", function(run, args)
    local start, stop, step = want_integer(args[1]), want_integer(args[2]), want_integer(args[3], 1)
    if not start or step == 0 then fail "range: integers expected" end
    if not stop then start, stop = 0, start end
    local n = math.max(0, math.ceil((stop - start) / step))
    if n > 100000 then fail "range: more than 100000 numbers" end
    run:charge(n / 4)
    local list = values.list {}
    for i = 0, n - 1 do list[i + 1] = start + i * step end
    return list
end)

local function fill(into, args, named, names)
    for _, dict in ipairs(args) do
        if kind(dict) ~= "dict" then fail "a mapping expected" end
        for _, key in ipairs(dict.keys) do values.put(into, key, dict.values[key]) end
    end
    for _, name in ipairs(names) do values.put(into, name, named[name]) end
    return into
end

add("namespace", function(_, args, named, names)
    local space = fill(values.dict(), args, named, names)
    space.kind = "namespace"
    return space
end)
add("dict", function(_, args, named, names) return fill(values.dict(), args, named, names) end)

add("joiner", function(_, args, named)
    local separator, used = argument(args, named, 1, "sep", ", "), false
    return values.callable("joiner", function()
        if used then return separator end
        used = true
        return ""
    end)
end)

add("cycler", function(_, args)
    if #args == 0 then fail "cycler: at least one item expected" end
    local at = 1
    local cycler = { kind = "cycler", values = { current = args[1] } }
    local function move(to)
        at = to
        cycler.values.current = args[at]
    end
    cycler.values.next = values.callable("next", function()
        local item = args[at]
        move(at % #args + 1)
        return item
    end)
    cycler.values.reset = values.callable("reset", function() move(1) return values.none end)
    return cycler
end)

-- ---- dates: English names, whatever the locale ----

local months = { "January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
    "November", "December" }
local days = { "Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday" }
local function digits(n, value) return function(t) return ("%0" .. n .. "d"):format(value(t)) end end

local dates = {
    Y = digits(4, function(t) return t.year end),
    y = digits(2, function(t) return t.year % 100 end),
    m = digits(2, function(t) return t.month end),
    d = digits(2, function(t) return t.day end),
    H = digits(2, function(t) return t.hour end),
    I = digits(2, function(t) return (t.hour + 11) % 12 + 1 end),
    M = digits(2, function(t) return t.min end),
    S = digits(2, function(t) return t.sec end),
    j = digits(3, function(t) return t.yday end),
    B = function(t) return months[t.month] end,
    b = function(t) return months[t.month]:sub(1, 3) end,
    A = function(t) return days[t.wday] end,
    a = function(t) return days[t.wday]:sub(1, 3) end,
    p = function(t) return t.hour < 12 and "AM" or "PM" end,
    n = function() return "\n" end,
    t = function() return "\t" end,
    Z = function() return "" end,
    z = function() return "" end,
    ["%"] = function() return "%" end,
}
local compound = { F = "%Y-%m-%d", T = "%H:%M:%S", D = "%m/%d/%y", R = "%H:%M" }

add("strftime_now", function(run, args)
    local format = values.want_string(args[1])
    local now = os.date("*t", run.now)
    run:charge_size(#format * 16)
    return (format:gsub("%%([FTDR])", compound):gsub("%%(%-?)([%a%%])", function(flag, letter)
        local write = dates[letter] or fail("strftime_now: unknown conversion '%" .. letter .. "'")
        local s = write(now)
        return flag == "-" and s:gsub("^0+(%d)", "%1") or s
    end))
end)
