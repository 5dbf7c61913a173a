-- Tokenizers of every kind, as published files have them.
local t = ...
local llm = require "llm"
local folder = t.folder .. "/../data/vocab/"

local function read(name)
    local file = assert(io.open(folder .. name, "rb"))
    local text = file:read "*a"
    file:close()
    return text
end

local function open(name)
    return assert(llm.load(folder .. name .. ".gguf", { vocab_only = true }))
end

local function numbers(line)
    local list = {}
    for id in line:gmatch "%d+" do list[#list + 1] = tonumber(id) end
    return list
end

for _, name in ipairs { "bert-bge", "deepseek-llm", "gpt-2", "llama-spm", "starcoder" } do
    t.test("published ids of " .. name, function()
        local m, separator = open(name), "\n__ggml_vocab_test__\n"
        local texts, lines, at = read(name .. ".gguf.inp"), read(name .. ".gguf.out"):gmatch "([^\n]*)\n", 1
        for first, last in function() return texts:find(separator, at, true) end do
            local text = texts:sub(at, first - 1)
            local ids = m:tokenize(text)
            t.same(ids, numbers(lines()))
            if name ~= "bert-bge" then -- which has neither capitals nor accents
                local back = m:detokenize(ids)
                t.check(back == text or back == " " .. text, text, back)
            end
            at = last + 1
        end
        m:close()
    end)
end

t.test("bert", function()
    local m = open "bert-bge"
    t.equal(m.info.architecture, "bert")
    t.equal(m.info.vocab_size, 30522)
    t.equal(m.info.bos_token, 101)
    t.equal(m:detokenize(m:tokenize "Hello, W\195\182rld!"), " hello , world !")
    t.same(m:tokenize("[CLS]hello[SEP]", { special = true }), { 101, 7592, 102 })
    t.equal(m:tokenize("hello", { bos = true })[1], 101)
    t.equal(m:count "hello", 2)
    t.equal(m:detokenize { 101, 7592 }, " hello")
    t.equal(m:detokenize({ 101, 7592 }, { special = true }), "[CLS] hello")
    m:close()
end)

t.test("unigram", function()
    local m = open "unigram"
    t.equal(m.info.vocab_size, 3000)
    t.equal(m:detokenize(m:tokenize "the  same"), " the same")                   -- white space is merged
    t.equal(m:detokenize(m:tokenize "\239\188\163\239\188\175"), " CO")           -- wide letters become narrow
    t.equal(m:tokenize("<s>the", { special = true })[1], 0)
    t.equal(m:count "the", 2)
    m:close()
end)

t.test("without weights nothing runs", function()
    for _, name in ipairs { "bert-bge", "unigram", "gpt-2" } do
        local m = open(name)
        t.equal(m.info.device, nil)
        t.fails("unsupported", m:generate "hello")
        t.fails("unsupported", m:session())
        t.fails("unsupported", m:choose("hello", { "a", "b" }))
        m:close()
    end
end)
