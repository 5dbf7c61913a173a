-- Reads the JSON lines of compare.sh, ours and the peer's in turn, and prints medians, ratios and their spread.
local llm = require "llm"
local pairs_read, ours = {}, nil
for line in io.lines(arg[1]) do
    local row = assert(llm.json.decode(line))
    if row.engine == "llm" then
        ours = row
    else
        pairs_read[#pairs_read + 1] = { ours = ours, peer = row }
    end
end
assert(#pairs_read > 0, "no pair was measured")

-- median, least, greatest
local function spread(value)
    local list = {}
    for i, pair in ipairs(pairs_read) do list[i] = value(pair) end
    table.sort(list)
    local middle = math.floor((#list + 1) / 2)
    local median = #list % 2 == 1 and list[middle] or (list[middle] + list[middle + 1]) / 2
    return median, list[1], list[#list]
end

local function line(name, key)
    local function row(label, value)
        print(("%-8s %-12s %9.2f   (%.2f to %.2f)"):format(name, label, spread(value)))
    end
    row("llm", function(pair) return pair.ours[key] end)
    row("llama.cpp", function(pair) return pair.peer[key] end)
    row("ratio", function(pair) return pair.ours[key] / pair.peer[key] end)
end

local first = pairs_read[1]
print(("%d pairs; llm (%s) on %s; llama.cpp %s on %s; prompt of %d tokens, %d written"):format(
    #pairs_read, first.ours.precision, first.ours.device, first.peer.backend, first.peer.device,
    first.ours.prompt_tokens, first.ours.tokens))
print "tokens/s, median (least to greatest)"
line("prompt", "prompt_per_second")
line("decode", "generate_per_second")
