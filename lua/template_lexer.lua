-- A template's text as tokens, white space as Hugging Face has it: the newline after a statement or a comment goes, so
-- do the blanks before one on its line ("trim_blocks", "lstrip_blocks"), and the last newline of the text.
local _, core = ...
local text = core.template_text
local byte, sub, find, match = string.byte, string.sub, string.find, string.match

local lexer = {}
core.template_lexer = lexer

-- What a mistake in a template raises; template.lua gives it its words.
function core.template_fail(message, from, to)
    error({ message = message, from = from, to = to }, 0)
end
local fail = core.template_fail

local operators = {}
for operator in ("+ - / // * ** % ~ [ ] ( ) { } < > <= >= == != = . : | , ;"):gmatch "%S+" do
    operators[operator] = true
end
local closing = { ["("] = ")", ["["] = "]", ["{"] = "}" }

-- ---- literals ----

local escapes = {
    n = "\n", t = "\t", r = "\r", a = "\a", b = "\b", f = "\f", v = "\v",
    ["\\"] = "\\", ["'"] = "'", ['"'] = '"', ["\n"] = "",
}
local hex_digits = { x = 2, u = 4, U = 8 }

local function unescape(s)
    if not find(s, "\\", 1, true) then return s end
    local list, at = {}, 1
    while true do
        local from = find(s, "\\", at, true)
        if not from then break end
        list[#list + 1] = sub(s, at, from - 1)
        local c = sub(s, from + 1, from + 1)
        local octal = match(s, "^[0-7][0-7]?[0-7]?", from + 1)
        local n = hex_digits[c]
        local digits = n and match(s, "^" .. ("%x"):rep(n), from + 2)
        local code = digits and tonumber(digits, 16) or octal and tonumber(octal, 8)
        list[#list + 1] = code and text.encode(code) or escapes[c] or "\\" .. c
        at = from + 2 + (digits and n or octal and #octal - 1 or 0)
    end
    list[#list + 1] = sub(s, at)
    return table.concat(list)
end

-- Value, kind and end of the number at at.
local function read_number(source, at, after_dot)
    local base, digits = match(source, "^0([xXbBoO])([%x_]+)", at)
    if base then
        local radix = ({ x = 16, b = 2, o = 8 })[base:lower()]
        return tonumber((digits:gsub("_", "")), radix), "integer", at + 1 + #digits
    end
    digits = match(source, "^%d[%d_]*", at)
    local stop = at + #digits - 1
    local fraction = not after_dot and match(source, "^%.%d[%d_]*", stop + 1) or ""
    local exponent = not after_dot and match(source, "^[eE][+-]?%d+", stop + 1 + #fraction) or ""
    local value = tonumber(((digits .. fraction .. exponent):gsub("_", "")))
    return value, fraction .. exponent ~= "" and "float" or "integer", stop + #fraction + #exponent
end

local function read_string(source, at)
    local quote, i = byte(source, at), at + 1
    while true do
        local stop = find(source, quote == 39 and "['\\]" or '["\\]', i)
        if not stop then fail("the string does not end", at, at + 20) end
        if byte(source, stop) == quote then return unescape(sub(source, at + 1, stop - 1)), stop end
        i = stop + 2
    end
end

-- ---- inside a tag ----

local function read_token(source, at, previous)
    local c = sub(source, at, at)
    if find(c, "[%a_\128-\255]") then
        local name = match(source, "^[%w_\128-\255]+", at)
        return "name", name, at + #name - 1
    elseif find(c, "%d") then
        local value, kind, stop = read_number(source, at, previous == ".")
        if not value then fail("a number that cannot be read", at, stop) end
        return kind, value, stop
    elseif c == "'" or c == '"' then
        return "string", read_string(source, at)
    end
    local two = sub(source, at, at + 1)
    if operators[two] then return "operator", two, at + 1 end
    if operators[c] then return "operator", c, at end
    fail("unexpected character " .. text.quote(c), at, at)
end

-- Reads to the closing mark, which does not count inside brackets. Returns its sign and the place after it.
local function read_tag(source, at, close, push, open)
    local expected, previous = {}, nil
    while true do
        at = find(source, "%S", at)
        if not at then fail("the tag does not end", open, open + 20) end
        if #expected == 0 then
            local sign = match(source, close, at)
            if sign then return sign, at, at + #sign + 2 end
        end
        local kind, value, stop = read_token(source, at, previous)
        if kind == "operator" then
            if closing[value] then
                expected[#expected + 1] = closing[value]
            elseif value == ")" or value == "]" or value == "}" then
                local wanted = table.remove(expected)
                if wanted ~= value then
                    fail("unexpected '" .. value .. "'" .. (wanted and ", '" .. wanted .. "' expected" or ""), at, at)
                end
            end
        end
        push(kind, value, at, stop)
        at, previous = stop + 1, value
    end
end

-- ---- between the tags ----

local function strip_line(data, line_starts)
    local from = match(data, ".*\n()") or (line_starts and 1)
    if from and text.strip(sub(data, from)) == "" then return sub(data, 1, from - 1) end
    return data
end

local function before_tag(data, sign, is_statement, line_starts)
    if sign == "-" then return text.rstrip(data) end
    if sign == "" and is_statement then return strip_line(data, line_starts) end
    return data
end

-- The place where text goes on after a tag, and whether a line starts there.
local function after_tag(source, at, sign, trims)
    local next_at = at
    if sign == "-" then
        next_at = text.skip_space(source, at)
    elseif sign == "" and trims and sub(source, at, at) == "\n" then
        next_at = at + 1
    end
    return next_at, sub(source, next_at - 1, next_at - 1) == "\n"
end

local marks = {
    ["{{"] = { kind = "variable", close = "^(%-?)}}" },
    ["{%"] = { kind = "block", close = "^([-+]?)%%}" },
    ["{#"] = { kind = "comment" },
}

local function read_comment(source, open, at)
    local stop = find(source, "#}", at, true)
    if not stop then fail("the comment does not end", open, open + 20) end
    local sign = stop > at and match(sub(source, stop - 1, stop - 1), "[-+]") or ""
    return after_tag(source, stop + 2, sign, true)
end

-- Pushes what is between raw and endraw as it is.
local function read_raw(source, open, sign, at, push)
    local starts
    at, starts = after_tag(source, at, sign, false)
    local from, to, before, after = find(source, "{%%([-+]?)%s*endraw%s*([-+]?)%%}", at)
    if not from then fail("'endraw' expected", open, open + 20) end
    push("data", before_tag(sub(source, at, from - 1), before, true, starts), at, from - 1)
    return after_tag(source, to + 1, after, true)
end

-- Tokens: { kind, value, from, to }. Returns them and the text that the places refer to.
function lexer.tokens(source)
    source = source:gsub("\r\n?", "\n"):gsub("\n$", "")
    local tokens = {}
    local function push(kind, value, from, to)
        if kind == "data" and value == "" then return end
        tokens[#tokens + 1] = { kind = kind, value = value, from = from, to = to }
    end
    local at, line_starts = 1, true
    while true do
        local open = find(source, "{[{%%#]", at)
        if not open then break end
        local mark = marks[sub(source, open, open + 1)]
        local sign = match(source, "^[-+]", open + 2) or ""
        local inside = open + 2 + #sign
        push("data", before_tag(sub(source, at, open - 1), sign, mark.kind ~= "variable", line_starts), at, open - 1)
        local raw, after_raw = match(source, "^%s*raw%s*(%-?)%%}()", inside)
        if mark.kind == "comment" then
            at, line_starts = read_comment(source, open, inside)
        elseif mark.kind == "block" and raw then
            at, line_starts = read_raw(source, open, raw, after_raw, push)
        else
            push(mark.kind .. "_begin", nil, open, inside - 1)
            local stop_sign, stop, after = read_tag(source, inside, mark.close, push, open)
            push(mark.kind .. "_end", nil, stop, after - 1)
            at, line_starts = after_tag(source, after, stop_sign, mark.kind == "block")
        end
    end
    push("data", sub(source, at), at, #source)
    push("end", nil, #source + 1, #source)
    return tokens, source
end
