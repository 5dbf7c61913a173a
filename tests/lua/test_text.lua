local t = ...
local llm = require "llm"
local m = assert(llm.load(t.stories, { vocab_only = true }))

t.test("ids", function()
    t.same(m:tokenize "Once upon a time", { 403, 407, 261, 378 })
    t.same(m:tokenize("Once upon a time", { bos = true }), t.prompt)
    t.same(m:tokenize "", {})
    t.same(m:tokenize("", { bos = true }), { 1 })
    t.equal(m:detokenize(t.best), ", there was a little girl named Lily. She loved to play outside in the park. " ..
        "One day, she saw a big, red ball. She wanted to play with it,")
    t.equal(m:detokenize {}, "")
end)

t.test("there and back", function()
    local texts = {
        "Once upon a time", "a", "  two  spaces ", "tabs\tand\nlines\r\n", "caf\195\169 \226\130\172 \240\159\152\128",
        "nul\0inside", "\255\254 no UTF-8 \128", ("long "):rep(2000), "<s></s>", "1234567890", "\226\130", "\n\n\n",
    }
    for _, text in ipairs(texts) do
        local ids = m:tokenize(text)
        local back = m:detokenize(ids)
        t.check(back == text or back == " " .. text, text, back)
        for _, id in ipairs(ids) do t.check(id >= 0 and id < m.info.vocab_size, id) end
    end
    for i = 0, 255 do
        local text = "x" .. string.char(i) .. "y"
        local back = m:detokenize(m:tokenize(text))
        t.check(back == text or back == " " .. text, text, back)
    end
end)

t.test("special tokens are text unless asked for", function()
    t.check(m:tokenize("</s>")[1] ~= 2)
    local ids = m:tokenize("<s>Once</s>", { special = true })
    t.equal(ids[1], 1)
    t.equal(ids[#ids], 2)
    t.check(not m:detokenize({ 1, 403, 2 }):find "<", m:detokenize { 1, 403, 2 })
    t.check(m:detokenize({ 1, 403, 2 }, { special = true }):find "</s>")
end)

t.test("pieces in a row make the text", function()
    local ids = m:tokenize "Once upon a time, there was a little girl named Lily."
    local pieces = {}
    for i, id in ipairs(ids) do pieces[i] = m:detokenize { id } end
    t.equal(table.concat(pieces), m:detokenize(ids))
end)

t.test("count", function()
    t.equal(m:count "Once upon a time", 5)
    t.equal(m:count(t.prompt), 5)
    t.equal(m:count "", 1)
    for _, ids in ipairs { { 512 }, { -1 }, { 1, "2" }, { 1.5 }, { "x" } } do
        t.raises("model:count", m.count, m, ids)
    end
    t.equal(m:count {}, 0)
    t.fails("unsupported", m:count { { role = "user", content = "x" } })
end)

t.test("misuse raises", function()
    t.raises("tokenize", m.tokenize, m)
    t.raises("tokenize", m.tokenize, m, 5)
    t.raises("bos", m.tokenize, m, "x", { bos = 1 })
    t.raises("did you mean 'special'", m.tokenize, m, "x", { specail = true })
    t.raises("options", m.tokenize, m, "x", true)
    t.raises("detokenize", m.detokenize, m, "x")
    t.raises("detokenize", m.detokenize, m, { "x" })
    t.raises("detokenize", m.detokenize, m, { 1.5 })
    t.raises("detokenize", m.detokenize, m, { 512 })
    t.raises("detokenize", m.detokenize, m, { -1 })
    t.raises("detokenize", m.detokenize, m, { 2 ^ 40 })
    t.raises("count", m.count, m)
    t.raises("count", m.count, m, 5)
end)

m:close()
