-- Continues a text: the options of llm.load and of generation as a command line.
--   lua5.4 complete.lua --model FILE.gguf [options] [--] [prompt]
-- Without a prompt it is read from the standard input.
-- Text goes to the standard output as it comes; device and speed go to the standard error.
local llm = require "llm"

-- name, kind of value, who takes it, what it says in the help
local options = {
    { "model", "text", "own", "GGUF file" },
    { "chat", "flag", "own", "the prompt is a user's message" },
    { "devices", "flag", "own", "list the devices and end" },
    { "help", "flag", "own", "this text" },
    { "device", "device", "load", "index from 1, part of a name, or \"cpu\"" },
    { "context", "integer", "load", "tokens that a session can hold" },
    { "kv", "text", "load", "cache: f16 (default), f32, q8_0, q4_0" },
    { "precision", "text", "load", "fast (default) or high" },
    { "memory", "integer", "load", "limit in bytes on the device" },
    { "deterministic", "flag", "load", "the same text whatever runs beside it" },
    { "max_tokens", "integer", "generate", "default: as many as fit" },
    { "temperature", "number", "generate", "0 takes the best token; default 0.8" },
    { "top_k", "integer", "generate", "0 is off; default 40" },
    { "top_p", "number", "generate", "1 is off; default 0.95" },
    { "min_p", "number", "generate", "0 is off; default 0.05" },
    { "typical_p", "number", "generate", "1 is off, the default" },
    { "repeat_penalty", "number", "generate", "1 is off, the default" },
    { "presence_penalty", "number", "generate", "0 is off, the default" },
    { "frequency_penalty", "number", "generate", "0 is off, the default" },
    { "penalty_last_n", "integer", "generate", "tokens that penalties look back on; -1: all" },
    { "seed", "integer", "generate", "default: a random one" },
    { "stop", "list", "generate", "text that ends it; may be given again" },
}

local function fail(...)
    io.stderr:write("complete.lua: ", string.format(...), "\n")
    os.exit(1)
end

local function integer(text)
    local n = tonumber(text)
    return n and n == math.floor(n) and (math.tointeger and math.tointeger(n) or n) or nil
end

local read_value = {
    text = function(text) return text end,
    number = tonumber,
    integer = integer,
    device = function(text) return integer(text) or text end,
    list = function(text, list)
        list = list or {}
        list[#list + 1] = text
        return list
    end,
}

local function usage()
    print "usage: complete.lua --model FILE.gguf [options] [--] [prompt]"
    for _, row in ipairs(options) do
        local name = "--" .. row[1]:gsub("_", "-") .. (row[2] == "flag" and "" or " " .. row[2]:upper())
        print(("  %-28s %s"):format(name, row[4]))
    end
end

-- Returns one table for each taker of options, and the prompt or nil.
local function read_arguments(list)
    local rows, given, words = {}, { own = {}, load = {}, generate = {} }, {}
    for _, row in ipairs(options) do rows[row[1]] = row end
    local i = 1
    while i <= #list and list[i] ~= "--" do
        local name, value = list[i]:match "^%-%-([%w%-]+)=?(.*)$"
        if not name then
            words[#words + 1] = list[i]
        else
            local key = name:gsub("-", "_")
            local row = rows[key] or fail("unknown option --%s; --help lists them", name)
            local target = given[row[3]]
            if row[2] == "flag" then
                target[key] = true
            else
                if not list[i]:find "=" then
                    i = i + 1
                    value = list[i] or fail("--%s wants a value", name)
                end
                target[key] = read_value[row[2]](value, target[key])
                if target[key] == nil then fail("--%s: %q is no %s", name, value, row[2]) end
            end
        end
        i = i + 1
    end
    for j = i + 1, #list do words[#words + 1] = list[j] end
    return given, words[1] and table.concat(words, " ")
end

local function list_devices()
    for _, d in ipairs(llm.devices()) do
        print(("%d  %s  %s, Vulkan %s, %s, %.1f GB"):format(d.index, d.name, d.type, d.api, d.driver, d.memory / 1e9))
    end
end

-- One user message, through the model's chat template.
local function chat_prompt(model, text)
    if model.info.chat_template then return { { role = "user", content = text } } end
    io.stderr:write "This model has no chat template: its text is continued as it is.\n"
    return text
end

local given, prompt = read_arguments(arg)
if given.own.help then return usage() end
if given.own.devices then return list_devices() end
if not given.own.model then
    usage()
    os.exit(2)
end
prompt = prompt or io.read "*a"

local model, message = llm.load(given.own.model, given.load)
if not model then fail("%s", message) end
if given.own.chat then prompt = chat_prompt(model, prompt) end

local stream = model:stream(prompt, given.generate)
for piece in stream do
    io.write(piece) io.flush()
end
print()
local result = stream:result()
if not result then fail "the prompt cannot be continued" end
if result.finish == "error" then fail("%s", result.error) end
local timings = result.timings
io.stderr:write(("[%s on %s: %d tokens read at %.1f/s, %d written at %.1f/s]\n"):format(
    model.info.name or "model", model.info.device.name, result.prompt_tokens, timings.prompt_per_second,
    result.tokens, timings.generate_per_second))
model:close()
