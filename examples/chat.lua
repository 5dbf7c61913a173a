-- A chat in the terminal.
--   lua5.4 chat.lua FILE.gguf [--system TEXT] [--device D] [--context N] [--temperature T] [--max-tokens N] [--seed N]
--                   [--set NAME=VALUE] [--quiet]
-- /help lists what can be typed besides messages. --set gives the template a value, such as enable_thinking=false.
local llm = require "llm"

local settings = { template = {} }
local words = { ["true"] = true, ["false"] = false }

local function fail(...)
    io.stderr:write("chat.lua: ", string.format(...), "\n")
    os.exit(1)
end

local usage = "usage: chat.lua FILE.gguf [--system TEXT] [--device D] [--context N] [--temperature T] [--max-tokens N]"
    .. " [--seed N] [--set NAME=VALUE] [--quiet]"

local function read_arguments(list)
    local takes = { system = "text", device = "text", context = "number", temperature = "number",
        ["max-tokens"] = "number", seed = "number", set = "text" }
    local i = 1
    while i <= #list do
        local name = list[i]:match "^%-%-(.+)$"
        if name == "quiet" then
            settings.quiet = true
        elseif name and takes[name] then
            i = i + 1
            local value = list[i] or fail("--%s wants a value", name)
            if takes[name] == "number" then value = tonumber(value) or fail("--%s: %q is no number", name, value) end
            if name == "set" then
                local key, given = value:match "^([%w_]+)=(.*)$"
                if not key then fail("--set wants NAME=VALUE") end
                if words[given] ~= nil then given = words[given] end
                settings.template[key] = given
            else
                settings[name:gsub("-", "_")] = value
            end
        elseif name == "help" then
            print(usage)
            os.exit(0)
        elseif name then
            fail("unknown option --%s", name)
        else
            settings.model = list[i]
        end
        i = i + 1
    end
end

read_arguments(arg)
if not settings.model then
    print(usage)
    os.exit(2)
end
local model, message = llm.load(settings.model,
    { device = tonumber(settings.device) or settings.device, context = settings.context })
if not model then fail("%s", message) end
local session = assert(model:session { template = settings.template, temperature = settings.temperature,
    max_tokens = settings.max_tokens, seed = settings.seed })
if settings.system then session:messages { { role = "system", content = settings.system } } end

local colours = not settings.quiet and (os.getenv "TERM" or "dumb") ~= "dumb"
local function colour(code, text) return colours and "\27[" .. code .. "m" .. text .. "\27[0m" or text end
local function note(...) print(colour(2, string.format(...))) end

-- ---- answering ----

local function speeds(result)
    local t = result.timings
    note("[%d tokens read at %.0f/s (%d were there), %d written at %.1f/s; %d of %d in use%s]",
        result.prompt_tokens - result.cached_tokens, t.prompt_per_second, result.cached_tokens, result.tokens,
        t.generate_per_second, session.length, session.capacity,
        result.finish == "length" and "; cut off" or "")
end

local function say(text)
    local kind_before
    local stream = session:chat_stream(text)
    for piece, info in stream do
        if info.kind == "reasoning" then
            piece = colour(2, piece)
        elseif kind_before == "reasoning" then
            io.write "\n\n"
        end
        kind_before = info.kind
        io.write(piece) io.flush()
    end
    print()
    local result = stream:result()
    if result.finish ~= "error" then return settings.quiet or speeds(result) end
    note("%s", result.error)
    if result.code == "context_full" then note "/undo or /clear makes room." end
end

-- Takes the last message of the user back and says it again.
local function say_again()
    local asked = session:undo()
    if not asked then return note "There is nothing to answer." end
    say { asked }
end

-- ---- commands: name -> { what it says in the help, function(rest of the line) } ----

local commands, order = {}, {}
local function command(name, help, run)
    commands[name:match "^%S+"], order[#order + 1] = run, { name, help }
end

local function set_system(text)
    local list = session:messages()
    if list[1] and list[1].role == "system" then table.remove(list, 1) end
    if text ~= "" then table.insert(list, 1, { role = "system", content = text }) end
    session:messages(list)
end

command("help", "this text", function()
    for _, row in ipairs(order) do print(("  /%-16s %s"):format(row[1], row[2])) end
    print "  A line that ends in \\ goes on in the next."
end)
command("undo", "takes back the last question and its answer", function()
    local undone = session:undo()
    note(undone and "Taken back: %s" or "There is nothing to take back.", undone and tostring(undone.content))
end)
command("regenerate", "another answer to the last question", say_again)
command("edit TEXT", "asks this instead of the last question", function(text)
    if text == "" then return note "/edit wants a text." end
    if session:undo() then say(text) else note "There is no question yet." end
end)
command("system TEXT", "the system message; without a text: none", function(text)
    set_system(text)
    note(text == "" and "No system message." or "Set.")
end)
command("messages", "what has been said", function()
    for i, m in ipairs(session:messages()) do print(("%d %s: %s"):format(i, m.role, tostring(m.content))) end
end)
command("clear", "begins anew", function()
    local first = session:messages()[1]
    session:reset()
    if first and first.role == "system" then session:messages { first } end
end)
command("save FILE", "writes the conversation as JSON", function(path)
    local file, why = io.open(path, "wb")
    if not file then return note("%s", why) end
    file:write(llm.json.encode(llm.array(session:messages())), "\n")
    file:close()
    note("Saved in %s.", path)
end)
command("load FILE", "goes on with a saved conversation", function(path)
    local file, why = io.open(path, "rb")
    if not file then return note("%s", why) end
    local list, wrong = llm.json.decode(file:read "*a")
    file:close()
    if not list then return note("%s: %s", path, wrong) end
    local ok, bad = pcall(session.messages, session, list)
    if not ok then return note("%s: %s", path, bad) end
    note("%d messages.", #list)
end)
command("quit", "ends", function() return "quit" end)

-- ---- the conversation ----

local function read_line()
    io.write(colour(1, "> ")) io.flush()
    local line = io.read()
    while line and line:sub(-1) == "\\" do
        local more = io.read()
        line = line:sub(1, -2) .. "\n" .. (more or "")
        if not more then break end
    end
    return line
end

if not settings.quiet then
    note("%s on %s. /help lists the commands.", model.info.name or "model", model.info.device.name)
end
while true do
    local line = read_line()
    if not line then break end
    local name, rest = line:match "^/(%S+)%s*(.*)$"
    if name and commands[name] then
        if commands[name](rest) == "quit" then break end
    elseif name then
        note("No command /%s; /help lists them.", name)
    elseif line:find "%S" then
        say(line)
    end
end
model:close()
