-- Text as Python sees it: UTF-8 strings counted, cut and stripped by characters.
local _, core = ...
local byte, sub, find = string.byte, string.sub, string.find

local text = {}
core.template_text = text

function text.is_ascii(s) return not find(s, "[\128-\255]") end

-- Bytes of the character at i; a stray byte counts as one character.
local function width(s, i)
    local b = byte(s, i)
    local n = b < 0xC2 and 1 or b < 0xE0 and 2 or b < 0xF0 and 3 or b < 0xF5 and 4 or 1
    for k = 1, n - 1 do
        local c = byte(s, i + k)
        if not c or c < 0x80 or c > 0xBF then return 1 end
    end
    return n
end

function text.chars(s)
    local list, n, i = {}, 0, 1
    while i <= #s do
        local w = width(s, i)
        n = n + 1
        list[n] = sub(s, i, i + w - 1)
        i = i + w
    end
    return list
end

function text.length(s)
    if text.is_ascii(s) then return #s end
    local n, i = 0, 1
    while i <= #s do
        n, i = n + 1, i + width(s, i)
    end
    return n
end

-- One character from a code point; nil past Unicode.
function text.encode(c)
    if c < 0x80 then return string.char(c) end
    local tail, lead, room = "", 0xC0, 0x20
    while c >= room do
        tail = string.char(0x80 + c % 0x40) .. tail
        c = math.floor(c / 0x40)
        if c < room then break end
        lead, room = lead + room, room / 2
    end
    if lead > 0xF0 then return nil end
    return string.char(lead + c) .. tail
end

-- The characters that fit in so many bytes.
function text.slice_bytes(s, bytes)
    while bytes > 0 and find(sub(s, bytes + 1, bytes + 1), "[\128-\191]") do bytes = bytes - 1 end
    return sub(s, 1, bytes)
end

function text.code(char)
    local b = byte(char)
    if #char == 1 then return b end
    local c = b - (#char == 2 and 0xC0 or #char == 3 and 0xE0 or 0xF0)
    for i = 2, #char do c = c * 0x40 + byte(char, i) - 0x80 end
    return c
end

-- ---- stripping ----

-- The characters past ASCII that Python's str.isspace() is true for.
local wide_spaces = {}
for _, c in ipairs { 0x85, 0xA0, 0x1680, 0x2028, 0x2029, 0x202F, 0x205F, 0x3000 } do
    wide_spaces[text.encode(c)] = true
end
for c = 0x2000, 0x200A do wide_spaces[text.encode(c)] = true end

local function is_space(char)
    local b = byte(char)
    return b == 32 or (b >= 9 and b <= 13) or (b >= 28 and b <= 31) or wide_spaces[char] == true
end
text.is_space = is_space

local function in_set(set)
    if not set then return is_space end
    local members = {}
    for _, char in ipairs(text.chars(set)) do members[char] = true end
    return function(char) return members[char] end
end

-- The first place from at on that is not stripped.
local function skip(s, at, strips)
    while at <= #s do
        local w = width(s, at)
        if not strips(sub(s, at, at + w - 1)) then break end
        at = at + w
    end
    return at
end

function text.skip_space(s, at) return skip(s, at, is_space) end
-- How many bytes at the end of s may begin the mark; not all of it.
function text.overlap(s, mark)
    for n = math.min(#s, #mark - 1), 1, -1 do
        if s:sub(-n) == mark:sub(1, n) then return n end
    end
    return 0
end

function text.lstrip(s, set) return sub(s, skip(s, 1, in_set(set))) end

-- First byte of the character that ends at i.
local function start_of(s, i)
    for k = i, math.max(1, i - 3), -1 do
        local b = byte(s, k)
        if b < 0x80 or b > 0xBF then return k + width(s, k) - 1 == i and k or i end
    end
    return i
end

function text.rstrip(s, set)
    local strips, i = in_set(set), #s
    while i > 0 do
        local from = start_of(s, i)
        if not strips(sub(s, from, i)) then break end
        i = from - 1
    end
    return sub(s, 1, i)
end

function text.strip(s, set) return text.rstrip(text.lstrip(s, set), set) end

-- ---- splitting ----

-- Where the words are: { from, to } of each.
local function word_spans(s)
    local spans, at = {}, 1
    if text.is_ascii(s) then
        while true do
            local from, to = find(s, "[^\t-\r\28-\32]+", at)
            if not from then return spans end
            spans[#spans + 1], at = { from, to }, to + 1
        end
    end
    local function is_letter(char) return not is_space(char) end
    at = skip(s, at, is_space)
    while at <= #s do
        local from = at
        at = skip(s, at, is_letter)
        spans[#spans + 1] = { from, at - 1 }
        at = skip(s, at, is_space)
    end
    return spans
end

-- The words between white space; at most limit cuts (below 0: all), from the right or the left.
function text.words(s, limit, from_right)
    local spans = word_spans(s)
    local n = #spans
    if limit >= 0 and n > limit + 1 then
        local first = from_right and 1 or limit + 1
        local last = from_right and n - limit or n
        local merged = {}
        for i, span in ipairs(spans) do
            if i < first or i > last then merged[#merged + 1] = span
            elseif i == first then merged[#merged + 1] = { span[1], spans[last][2] } end
        end
        spans = merged
    end
    local list = {}
    for i, span in ipairs(spans) do list[i] = sub(s, span[1], span[2]) end
    if limit >= 0 and n > limit then -- the last piece keeps the blanks at its far end
        local last = from_right and 1 or #spans
        list[last] = from_right and sub(s, 1, spans[1][2]) or sub(s, spans[last][1])
    end
    return list
end

local function reverse(list)
    local out, n = {}, #list
    for i = 1, n do out[i] = list[n + 1 - i] end
    return out
end

local function cuts_from_right(s, separator, limit)
    local cuts, at = {}, #s - #separator + 1
    while at >= 1 and #cuts < limit do
        if sub(s, at, at + #separator - 1) == separator then
            cuts[#cuts + 1], at = at, at - #separator
        else
            at = at - 1
        end
    end
    return reverse(cuts)
end

local function cuts_from_left(s, separator, limit)
    local cuts, at = {}, 1
    while limit < 0 or #cuts < limit do
        local from = find(s, separator, at, true)
        if not from then break end
        cuts[#cuts + 1], at = from, from + #separator
    end
    return cuts
end

-- At most limit cuts (below 0: all) at a separator that is not empty.
function text.split(s, separator, limit, from_right)
    local find_cuts = from_right and limit >= 0 and cuts_from_right or cuts_from_left
    local list, at = {}, 1
    for _, cut in ipairs(find_cuts(s, separator, limit)) do
        list[#list + 1], at = sub(s, at, cut - 1), cut + #separator
    end
    list[#list + 1] = sub(s, at)
    return list
end

function text.lines(s, keep)
    local list, at = {}, 1
    while at <= #s do
        local from, to = find(s, "[\n-\r\28-\30]", at)
        if not from then break end
        if sub(s, from, from + 1) == "\r\n" then to = from + 1 end
        list[#list + 1], at = sub(s, at, keep and to or from - 1), to + 1
    end
    if at <= #s then list[#list + 1] = sub(s, at) end
    return list
end

-- limit below 0: all. An empty pattern lies between all characters.
function text.replace(s, pattern, with, limit)
    if pattern == "" then
        local list = { limit ~= 0 and with or "" }
        for i, char in ipairs(text.chars(s)) do
            list[#list + 1] = char
            if limit < 0 or i < limit then list[#list + 1] = with end
        end
        return table.concat(list)
    end
    return table.concat(text.split(s, pattern, limit), with)
end

-- ---- cases: of ASCII, Latin, Greek and Cyrillic letters, whatever the locale ----

local upper_of, lower_of = { ["ß"] = "SS", ["ÿ"] = "Ÿ" }, { ["Ÿ"] = "ÿ" }
local function pair_cases(first, last, distance, step)
    for c = first, last, step or 1 do
        local upper, lower = text.encode(c), text.encode(c + distance)
        upper_of[lower], lower_of[upper] = upper, lower
    end
end
pair_cases(0xC0, 0xD6, 32) -- Latin-1, but for the multiplication sign
pair_cases(0xD8, 0xDE, 32)
pair_cases(0x100, 0x12E, 1, 2) -- Latin Extended-A, in neighbours
pair_cases(0x132, 0x136, 1, 2)
pair_cases(0x139, 0x147, 1, 2)
pair_cases(0x14A, 0x176, 1, 2)
pair_cases(0x179, 0x17D, 1, 2)
pair_cases(0x391, 0x3A1, 32) -- Greek
pair_cases(0x3A3, 0x3A9, 32)
pair_cases(0x400, 0x40F, 80) -- Cyrillic
pair_cases(0x410, 0x42F, 32)

function text.upper(s)
    s = s:gsub("[a-z]", function(c) return string.char(byte(c) - 32) end)
    return (s:gsub("[\195-\209][\128-\191]", upper_of))
end

function text.lower(s)
    s = s:gsub("[A-Z]", function(c) return string.char(byte(c) + 32) end)
    return (s:gsub("[\195-\209][\128-\191]", lower_of))
end

function text.capitalize(s)
    local first = s == "" and 0 or width(s, 1)
    local head = sub(s, 1, first)
    return (head == "ß" and "Ss" or text.upper(head)) .. text.lower(sub(s, first + 1))
end

function text.title(s)
    return (s:gsub("[A-Za-z\195-\209][A-Za-z\128-\209]*", text.capitalize))
end

-- ---- how Python writes a string as a literal ----

local short = { ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t", ["\\"] = "\\\\" }

function text.quote(s)
    local mark = find(s, "'", 1, true) and not find(s, '"', 1, true) and '"' or "'"
    s = s:gsub("[%c\\'\127]", function(c)
        if c == "'" then return mark == "'" and "\\'" or c end
        return short[c] or ("\\x%02x"):format(byte(c))
    end)
    s = s:gsub("\194[\128-\160\173]", function(c)
        return ("\\x%02x"):format(byte(c, 2))
    end)
    return mark .. s .. mark
end

-- Within double quotes, as JSON wants it; nothing past ASCII is escaped.
local json = { ['"'] = '\\"', ["\\"] = "\\\\", ["\b"] = "\\b", ["\f"] = "\\f",
    ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t" }

function text.json(s, ascii)
    s = s:gsub('[%c"\\]', function(c)
        if c == "\127" then return c end
        return json[c] or ("\\u%04x"):format(byte(c))
    end)
    if ascii and not text.is_ascii(s) then
        local list = text.chars(s)
        for i, char in ipairs(list) do
            local c = #char > 1 and text.code(char) or 0
            if c >= 0x10000 then
                c = c - 0x10000
                list[i] = ("\\u%04x\\u%04x"):format(0xD800 + math.floor(c / 0x400), 0xDC00 + c % 0x400)
            elseif c > 0 then
                list[i] = ("\\u%04x"):format(c)
            end
        end
        s = table.concat(list)
    end
    return '"' .. s .. '"'
end
