local t = ...
local llm = require "llm"
local json = llm.json
local integers = math.type ~= nil -- Lua 5.3 and later tell 1 from 1.0

local function decode(text) return (json.decode(text)) end

t.test("accepted", function()
    local texts = {
        "[]", "{}", "[ ]", " \t\r\n[1]\n", "0", "-0", "1e5", "1E+5", "1.5e-3", "-1.25", '""', '"a"', "true", "false",
        "null", '{"":0}', '{"a":[{},[],{"b":null}]}', '["\\u0000\\"\\\\\\/\\b\\f\\n\\r\\t"]', '["\\uD834\\udd1e"]',
        '["\127"]', '{"a":1,"a":2}', "[1e-400]", "123456789012345678901234567890",
    }
    for _, text in ipairs(texts) do
        local value, message = json.decode(text)
        t.check(value ~= nil, text, message)
    end
end)

t.test("refused", function()
    local texts = {
        "", " ", "[", "]", "{", "}", "[1,]", "[,1]", "[1 2]", "[1}", "{,}", '{"a"}', '{"a":}', '{"a":1,}', "{a:1}",
        "{'a':1}", "{1:1}", '{"a" 1}', '{"a"::1}', "01", "-", "+1", "-01", ".5", "1.", "1.e5", "1e", "1e+", "0x10",
        "0b1", "1_0", "Infinity", "NaN", "nan", "-Infinity", "tru", "TRUE", "nul", "nulll", "true1", "[true false]",
        '"', '"a', '"\\', '"\\"', '"\\x41"', '"\\u"', '"\\u12"', '"\\u12g4"', '"\\ud800"', '"\\udc00"', '"\\ud800x"',
        '"\\ud800\\u0041"', '"\\ud800\\ud800"', '"\n"', '"\t"', '"\0"', "[1]x", "1 2", "[] []", "\239\187\191[]", "//a",
        "[1]/**/", "\0", "[\0]", "\11[]", "\12[]", "\194\160[]", "undefined", '["a"', '{"a":"b"', "[1,2", "'a'",
    }
    for _, text in ipairs(texts) do
        local value, message, code = json.decode(text)
        t.check(value == nil and code == "bad_json" and message:find "line %d+, column %d+", text, value, message)
    end
    local _, message = json.decode '{\n  "a": 1,\n  "b" 2\n}'
    t.check(message:find "line 3, column 7", message)
end)

t.test("deep nesting is refused, not followed", function()
    t.fails("bad_json", json.decode(("["):rep(1000000)))
    t.fails("bad_json", json.decode(('{"a":'):rep(1000000)))
    t.check(json.decode(("["):rep(100) .. ("]"):rep(100)))
    local nest = {}
    for _ = 1, 100000 do nest = { nest } end
    t.raises("deep", json.encode, nest)
    local cycle = {}
    cycle.a = { cycle }
    t.raises("cycle", json.encode, cycle)
end)

t.test("strings", function()
    t.equal(decode '"\\u00e9\\u20ac\\ud83d\\ude00\\u0041"', "\195\169\226\130\172\240\159\152\128A")
    t.equal(decode '"\\u0000"', "\0")
    t.equal(decode '"\195\169"', "\195\169")
    t.equal(json.encode '"\\\b\f\n\r\t\0\1\31\127/', '"\\"\\\\\\b\\f\\n\\r\\t\\u0000\\u0001\\u001f\127/"')
    local all = {}
    for i = 0, 127 do all[#all + 1] = string.char(i) end
    all = table.concat(all):rep(40)
    t.equal(decode(json.encode(all)), all)
end)

t.test("numbers", function()
    for text, value in pairs { ["0"] = 0, ["-1"] = -1, ["1.5"] = 1.5, ["-2.5e-3"] = -2.5e-3, ["1e3"] = 1000 } do
        t.equal(decode(text), value, text)
    end
    for _, x in ipairs {
        0.1, 1 / 3, 1e300, -1e-300, 5e-324, 2 ^ 53, 0.1 + 0.2, math.pi, 1.7976931348623157e308, 1e15 + 0.3,
    } do
        t.equal(decode(json.encode(x)), x, json.encode(x))
    end
    t.equal(json.encode(12), "12")
    t.equal(json.encode(-7), "-7")
    t.equal(json.encode(0.5), "0.5")
    for _, x in ipairs { 1 / 0, -1 / 0, 0 / 0 } do t.raises("number", json.encode, x) end
    if not integers then return end
    t.equal(math.type(decode "12"), "integer")
    t.equal(math.type(decode "12.0"), "float")
    t.equal(math.type(decode "1e3"), "float")
    t.equal(decode "9223372036854775807", math.maxinteger)
    t.equal(decode "-9223372036854775808", math.mininteger)
    t.equal(math.type(decode "9223372036854775808"), "float")
    t.equal(json.encode(math.maxinteger), "9223372036854775807")
    t.equal(json.encode(math.mininteger), "-9223372036854775808")
    t.equal(json.encode(decode "[1,1.0,-3.0,1e15]"), "[1,1.0,-3.0,1e+15]")
end)

t.test("null, arrays and objects", function()
    t.equal(decode "null", llm.null)
    t.equal(decode("[null]")[1], llm.null)
    t.equal(json.encode { a = llm.null }, '{"a":null}')
    t.equal(json.encode {}, "{}")
    t.equal(json.encode(llm.array {}), "[]")
    t.equal(json.encode { 1, "a", true, { {} } }, '[1,"a",true,[{}]]')
    t.equal(json.encode(llm.array { 1, 2 }), "[1,2]")
    local list = llm.array {}
    t.equal(llm.array(list), list)
    list[1] = 5
    t.equal(json.encode(list), "[5]")
    for _, text in ipairs { "[]", "{}", '{"a":[],"b":{}}', '[[],{},[[]],{"a":{}}]' } do
        t.equal(json.encode(decode(text)), text)
    end
    t.raises("array", llm.array, 1)
end)

t.test("the order of keys", function()
    local text = '{"z":1,"a":{"y":2,"b":3,"type":4},"m":[{"q":1,"c":2}],"name":"x"}'
    local value = decode(text)
    t.equal(json.encode(value), text)
    value.a.y = nil
    value.m[1].c = 7
    value.new = 1
    t.equal(json.encode(value), '{"z":1,"a":{"b":3,"type":4},"m":[{"q":1,"c":7}],"name":"x","new":1}')
    t.equal(json.encode { zeta = 1, required = 2, properties = 3, parameters = 4, description = 5, name = 6,
        ["function"] = 7, type = 8, alpha = 9 },
        '{"type":8,"function":7,"name":6,"description":5,"parameters":4,"properties":3,"required":2,' ..
        '"alpha":9,"zeta":1}')
end)

t.test("what is no JSON raises", function()
    for _, value in ipairs { print, coroutine.create(print), io.stdout } do
        t.raises("json", json.encode, value)
        t.raises("json", json.encode, { a = value })
    end
    t.raises("key", json.encode, { [true] = 1 })
    t.raises("key", json.encode, { [1.5] = 1 })
    t.raises("encode", json.encode)
    t.raises("decode", json.decode)
    t.raises("decode", json.decode, {})
    t.raises("decode", json.decode, nil)
end)

t.test("cut and changed texts are read or refused", function()
    local text = '{"a":[1,-2.5e3,"x\\u00e9\\n",null,true,{"b":{}}],"c":"\\ud83d\\ude00"}'
    t.check(json.decode(text))
    for i = 0, #text - 1 do t.fails("bad_json", json.decode(text:sub(1, i))) end
    for i = 1, #text do
        for _, c in ipairs { "\0", '"', "[", "}", "\\", "9", "\255" } do
            local changed = text:sub(1, i - 1) .. c .. text:sub(i + 1)
            local value, message, code = json.decode(changed)
            t.check(value ~= nil or (type(message) == "string" and code == "bad_json"), changed)
        end
    end
end)

t.test("a megabyte takes no second", function()
    local parts = {}
    for i = 1, 10000 do
        local item = '{"id":%d,"name":"name \\u00e9 %d","tags":["a","b"],"score":%d.25,"ok":true,"none":null}'
        parts[i] = item:format(i, i, i)
    end
    local text = "[" .. table.concat(parts, ",") .. "]"
    local started = os.clock()
    local value = decode(text)
    t.equal(#value, 10000)
    local again = json.encode(value)
    t.check(os.clock() - started < 2, os.clock() - started)
    t.equal(#json.encode(decode(again)), #again)
end)
