-- Several characters speak at once inside a game loop of 60 frames a second.
--   lua5.4 npc.lua FILE.gguf [--compare] [--tokens N] [--device D] [--quiet]
-- A frame is the game's own work, llm.update(0), and what is left of it as llm.update(milliseconds).
-- --compare lets each character speak alone afterwards: its text must be the same, and the speeds are set side by side.
local llm = require "llm"

local FRAME = 1 / 60
local cast = {
    { name = "Smith", prompt = "The blacksmith put down his hammer and said to the traveller: \"" },
    { name = "Guard", prompt = "The guard at the gate looked at the paper and said: \"" },
    { name = "Child", prompt = "Once upon a time, the child began," },
    { name = "Witch", prompt = "The old witch stirred the pot and whispered to the raven: \"" },
}
-- A fifth is given a long prompt and cancelled while it is being read.
local interrupted = { name = "Bard", prompt = ("The bard sang of the sea and the long road home. "):rep(8) }

local settings = { tokens = 48 }
local usage = "usage: npc.lua FILE.gguf [--compare] [--tokens N] [--device D] [--quiet]"

local function read_arguments(list)
    local i = 1
    while i <= #list do
        local key = list[i]:match "^%-%-(%a+)$"
        if key == "help" then
            print(usage)
            os.exit(0)
        elseif key == "compare" or key == "quiet" then
            settings[key] = true
        elseif key == "tokens" or key == "device" then
            i = i + 1
            settings[key] = tonumber(list[i]) or list[i]
        else
            settings.model = list[i]
        end
        i = i + 1
    end
end

local function busy(seconds)
    local finish = llm.clock() + seconds
    while llm.clock() < finish do end
end

local function quantile(list, q)
    local sorted = {}
    for i, v in ipairs(list) do sorted[i] = v end
    table.sort(sorted)
    return sorted[math.max(1, math.ceil(q * #sorted))] or 0
end

local function print_times(name, list)
    print(("%-22s median %7.3f ms   99%% %7.3f ms   worst %7.3f ms"):format(
        name, quantile(list, 0.5) * 1e3, quantile(list, 0.99) * 1e3, quantile(list, 1) * 1e3))
end

local function options()
    return { temperature = 0, max_tokens = settings.tokens }
end

local function start(model, character)
    character.session = assert(model:session())
    character.generation = assert(character.session:start(character.prompt, options()))
    character.text = ""
end

-- Takes what the character has said since the last frame; true while it speaks.
local function listen(character)
    if character.done then return false end
    local piece, done = character.generation:poll()
    character.text = character.text .. piece
    character.done = done
    return not done
end

-- Plays until all have spoken. Returns the times of the frames and of their parts, and the number of tokens written.
local function play(model)
    for _, character in ipairs(cast) do start(model, character) end
    start(model, interrupted)
    local times = { frame = {}, update = {}, poll = {} }
    local began, frame, speaking = llm.clock(), 0, true
    while speaking do
        local t0 = llm.clock()
        busy(0.001 + 0.001 * math.random())

        local t1 = llm.clock()
        llm.update(0)
        local t2 = llm.clock()
        speaking = false
        for _, character in ipairs(cast) do speaking = listen(character) or speaking end
        local t3 = llm.clock()

        frame = frame + 1
        if frame == 2 then interrupted.generation:cancel() end
        if speaking then
            llm.update(math.max(0, FRAME - (llm.clock() - t0)) * 1e3)
            times.update[frame], times.poll[frame] = t2 - t1, t3 - t2
            times.frame[frame] = llm.clock() - t0
        end
    end
    interrupted.generation:wait()
    local tokens = 0
    for _, character in ipairs(cast) do tokens = tokens + character.generation:result().tokens end
    return times, tokens, llm.clock() - began
end

-- The same prompts, one after the other in blocking calls. Returns tokens, seconds and whether all texts are the same.
local function speak_alone(model)
    local tokens, same, began = 0, true, llm.clock()
    for _, character in ipairs(cast) do
        local session = assert(model:session())
        local text, result = session:generate(character.prompt, options())
        assert(text, result)
        tokens = tokens + result.tokens
        if text ~= character.text then
            same = false
            print(("%s alone says something else: %s"):format(character.name, text))
        end
        session:close()
    end
    return tokens, llm.clock() - began, same
end

read_arguments(arg)
if not settings.model then
    print(usage)
    os.exit(2)
end
local model = assert(llm.load(settings.model, { device = settings.device, kv_tokens = 4096, context = 512 }))
assert(model:generate("Once", { temperature = 0, max_tokens = 2 })) -- the first steps record their commands

local times, tokens, seconds = play(model)
if not settings.quiet then
    for _, character in ipairs(cast) do
        print(("%s: %s%s"):format(character.name, character.prompt, character.text))
    end
end
print(("%d characters on %s: %d tokens in %.2f s, %.1f tokens/s, %d frames"):format(
    #cast, model.info.device.name, tokens, seconds, tokens / seconds, #times.frame))
print_times("frame", times.frame)
print_times("llm.update(0)", times.update)
print_times("poll of all", times.poll)
local late = 0
for _, seconds_taken in ipairs(times.frame) do late = late + (seconds_taken > 1.2 * FRAME and 1 or 0) end
print(("frames a fifth too long: %d"):format(late))
local bard = interrupted.generation:result()
print(("%s: %s, its session holds %d tokens"):format(interrupted.name, bard.finish, interrupted.session.length))

local passed = bard.finish == "cancelled"
if settings.compare then
    local alone_tokens, alone_seconds, same = speak_alone(model)
    passed = passed and same
    print(("alone, blocking: %d tokens in %.2f s, %.1f tokens/s; together in the loop %.0f %% of that"):format(
        alone_tokens, alone_seconds, alone_tokens / alone_seconds,
        100 * (tokens / seconds) / (alone_tokens / alone_seconds)))
    print(same and "texts: the same together and alone" or "texts: differ")
end
model:close()
os.exit(passed and 0 or 1)
