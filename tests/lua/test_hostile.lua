-- Files that are cut or changed load, or give an error; a model that loads runs. Never a crash.
local t = ...
local llm = require "llm"
local bytes = t.read(t.stories)

local known = { bad_model = true, io = true, unsupported = true, out_of_memory = true }

local function load_bytes(data, options)
    options = options or { vocab_only = true }
    options.size = #data
    options.read = function(offset, length) return data:sub(offset + 1, offset + length) end
    return llm.load("changed", t.options(options))
end

local function survives(data, what, options)
    local m, message, code = load_bytes(data, options)
    if not m then return t.check(known[code] and #message > 4, what, message, code) end
    t.check(type(m.info.vocab_size) == "number", what)
    local ids = m:tokenize "Once upon a time \226\130\172"
    t.check(ids == nil or type(m:detokenize(ids)) == "string", what)
    if not (options and options.vocab_only == false) then return m:close() end
    local text, result, reason = m:generate("Once", { max_tokens = 2, temperature = 0 })
    t.check(type(text) == "string" and result.tokens <= 2 or type(reason) == "string", what, text, result)
    m:close()
end

local function changed(at, replacement)
    return bytes:sub(1, at - 1) .. replacement .. bytes:sub(at + #replacement)
end

-- Where the weights begin: everything before it is header.
local header = math.floor(#bytes / 20)

t.test("cut", function()
    for length = 1, 64 do survives(bytes:sub(1, length), "cut to " .. length) end
    for length = 65, header, 331 do survives(bytes:sub(1, length), "cut to " .. length) end
    for i = 1, 20 do
        local length = math.floor(#bytes * i / 21)
        local m, message, code = load_bytes(bytes:sub(1, length))
        t.check(m == nil and code == "bad_model", length, message, code)
    end
    t.fails("bad_model", load_bytes(bytes:sub(1, -2), {}))
end)

t.test("changed bytes of the header", function()
    for at = 1, 64 do
        for _, c in ipairs { "\0", "\1", "\127", "\128", "\255" } do survives(changed(at, c), "byte " .. at) end
    end
    for at = 65, header, 97 do
        survives(changed(at, "\255"), "byte " .. at)
        survives(changed(at, string.char((bytes:byte(at) + 1) % 256)), "byte " .. at)
    end
end)

t.test("changed counts of the header", function()
    for at = 1, 2000, 4 do
        survives(changed(at, "\255\255\255\255\255\255\255\127"), "8 bytes at " .. at)
        survives(changed(at, "\0\0\0\0\0\0\0\0"), "8 bytes at " .. at)
    end
end)

t.test("every value of the metadata and tensor table, loaded and run", function()
    local n = 0
    for _, name in ipairs {
        "llama.block_count", "llama.context_length", "llama.embedding_length", "llama.feed_forward_length",
        "llama.attention.head_count", "llama.attention.head_count_kv", "llama.rope.dimension_count",
        "llama.attention.layer_norm_rms_epsilon", "general.architecture", "tokenizer.ggml.model",
        "tokenizer.ggml.bos_token_id", "tokenizer.ggml.eos_token_id", "token_embd.weight", "output_norm.weight",
        "blk.0.attn_q.weight", "blk.4.ffn_down.weight", "output.weight",
    } do
        local _, stop = bytes:find(name, 1, true)
        if stop then
            n = n + 1
            for _, value in ipairs { "\0\0\0\0", "\1\0\0\0", "\255\255\255\255", "\0\0\0\128", "\3\0\0\0" } do
                for skip = 1, 9, 4 do
                    survives(changed(stop + skip, value), name .. " +" .. skip, { vocab_only = false, context = 32 })
                end
            end
        end
    end
    t.check(n >= 10, n)
end)

t.test("weights that are no numbers", function()
    local noise = ("\0\0\192\127"):rep(4096) -- NaN
    survives(changed(#bytes - #noise + 1, noise), "NaN", { vocab_only = false, context = 32 })
    noise = ("\0\0\128\127"):rep(4096) -- infinity
    survives(changed(#bytes - #noise + 1, noise), "infinity", { vocab_only = false, context = 32 })
end)

t.test("a read that lies", function()
    local options = t.options { size = #bytes, read = function(_, length) return ("\0"):rep(length) end }
    t.fails("bad_model", llm.load("zeros", options))
    local n = 0
    options = t.options { size = #bytes, read = function(offset, length)
        n = n + 1
        if n > 3 then return "" end
        return bytes:sub(offset + 1, offset + length)
    end }
    local m, message, code = llm.load("ends", options)
    t.check(m or code == "io", message, code)
    if m then m:close() end
    options = t.options { size = #bytes, read = function(offset, length)
        return bytes:sub(offset + 1, offset + length + 100)
    end }
    m = llm.load("too much", options)
    if m then m:close() end
end)
