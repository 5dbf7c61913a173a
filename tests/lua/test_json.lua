local check = require "check"
local llm = require "llm"
local json = llm.json

local function same(name, text, wanted)
    local value, message = json.decode(text)
    check.ok(name, message == nil, message)
    check.equal(name, json.encode(value), wanted or text)
end

local area = {}

function area.values()
    same("words", "[true,false,null]")
    same("empty ones", '{"a":[],"b":{}}')
    same("space", " [ 1 , 2 ]\n", "[1,2]")
    same("key order is kept", '{"z":1,"a":2,"m":{"y":1,"b":2}}')
    same("a key twice", '{"a":1,"b":2,"a":3}', '{"b":2,"a":3}')
    same("floats", "[0.5,-2.25,1e+300]")
    same("the same float again", "[0.1,0.30000000000000004]")
    same("escapes", '"\\u0041\\/\\n\\t\\"\\\\"', '"A/\\n\\t\\"\\\\"')
    same("a zero byte", '"a\\u0000b"')
    check.equal("surrogates", json.decode '"\\ud83d\\ude00"', "\240\159\152\128")
    check.equal("two and three bytes", json.decode '"\\u00e9\\u20ac"', "\195\169\226\130\172")
    check.equal("null", json.decode "null", llm.null)
    check.equal("an integer", json.encode(json.decode "123456789012345"), "123456789012345")
    if math.type then
        check.equal("stays integer", math.type(json.decode "7"), "integer")
        check.equal("a float stays float", math.type(json.decode "7.0"), "float")
        check.equal("64 bits", json.decode "9223372036854775807", math.maxinteger)
        check.equal("64 bits, negative", json.encode(math.mininteger), "-9223372036854775808")
        check.equal("more is a float", math.type(json.decode "92233720368547758080"), "float")
    end
end

function area.encoding()
    check.equal("customary order", json.encode { zeta = 1, description = "d", alpha = 2, name = "n", type = "t" },
        '{"type":"t","name":"n","description":"d","alpha":2,"zeta":1}')
    check.equal("an empty table is an object", json.encode {}, "{}")
    check.equal("unless marked", json.encode(llm.array {}), "[]")
    check.equal("array gives its table", #llm.array { 1, 2 }, 2)
    check.equal("integer keys", json.encode { [3] = 1, a = 2 }, '{"3":1,"a":2}')
    local decoded = json.decode '{"b":1,"a":2}'
    decoded.c, decoded.b = 3, nil
    check.equal("a changed object", json.encode(decoded), '{"a":2,"c":3}')
    check.equal("control characters", json.encode "\1\31", '"\\u0001\\u001f"')
    local cycle = {}
    cycle[1] = cycle
    check.raises("a cycle", "cycle", json.encode, cycle)
    check.raises("a function", "function", json.encode, { print })
    check.raises("infinity", "no JSON number", json.encode, math.huge)
    check.raises("not a number", "no JSON number", json.encode, 0 / 0)
    check.raises("a boolean key", "key", json.encode, { [true] = 1 })
    check.raises("no value", "encode", json.encode)
    check.raises("no text", "decode", json.decode, {})
end

function area.damaged()
    local texts = {
        "", " ", "nul", "[", "[1", "[1,", "[1,]", "{", '{"a"', '{"a":', '{"a":1', '{"a":1,}', "{a:1}", "01", "-", "1.",
        "1e", "+1", ".5", '"', '"\\', '"\\x"', '"\\u12"', '"\\ud800"', '"\\ud800\\u0041"', '"\\udc00"', '"\n"', "1 2",
        "[1}", "NaN", "Infinity", "'a'", "[]]", ("["):rep(100000),
    }
    for _, text in ipairs(texts) do
        check.fails(("damaged %q"):format(text:sub(1, 20)), "bad_json", json.decode(text))
    end
    local _, message = json.decode '{"a": 1,\n "b" 2}'
    check.ok("line and column", message:find("line 2, column 6", 1, true), message)
    check.ok("deep, and not too deep", json.decode(("["):rep(500) .. ("]"):rep(500)))
end

return area
