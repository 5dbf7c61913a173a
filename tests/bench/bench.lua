-- The benchmark: this library alone, or in turn with llama.cpp on the same files, driver and machine.
-- run.sh builds, chooses the driver and starts it; options are listed below.
local folder = arg[0]:match "^(.*)/" or "."
package.path = folder .. "/?.lua;" .. package.path
local llm = require "llm"
local report = require "report"

-- name = {default, meaning}; lists are written 1,2,3 and "" is an empty one
local defaults = {
    prompt = { "128,512,2048", "lengths of the prompts" },
    decode = { "0,1024,4096", "depths at which tokens are written" },
    sessions = { "1,2,4,8,16", "numbers of sessions at once" },
    write = { "32", "tokens to write" },
    repeats = { "5", "measurements of each; with a peer: pairs of processes, in turn; 0: none" },
    first = { "3", "new processes for the time to a first token, with and without caches; 0: none" },
    peer = { "", "llama.cpp backends to compare with: vulkan, cuda, cpu" },
    peerfolder = { "", "where peer/install.sh put it" },
    precision = { "fast", "fast or high" },
    kv = { "f16", "numbers of the cache: f16, f32, q8_0 or q4_0" },
    device = { "", "index or part of the name of ours" },
    rows = { "1,8,128", "rows of the batches whose kernels are timed" },
    profiler = { "", "the program kernel_profile" },
    limit = { "1800", "seconds that a process may take" },
    json = { "", "file to write" },
    svg = { "", "file to write" },
    markdown = { "", "file to write: the table alone" },
}

local function usage(problem)
    io.stderr:write(problem, "\nusage: bench.lua FILE.gguf ... [--option value ...]\n")
    local names = {}
    for name in pairs(defaults) do names[#names + 1] = name end
    table.sort(names)
    for _, name in ipairs(names) do
        io.stderr:write(("  --%-12s %-13s %s\n"):format(name, defaults[name][1], defaults[name][2]))
    end
    os.exit(2)
end

local function read_options(arguments)
    local values, files, i = {}, {}, 1
    for name, default in pairs(defaults) do values[name] = default[1] end
    while arguments[i] do
        local name = arguments[i]:match "^%-%-(.+)$"
        if not name then
            files[#files + 1] = arguments[i]
        elseif not defaults[name] or not arguments[i + 1] then
            usage(("%s: %s"):format(arguments[i], defaults[name] and "a value is missing" or "unknown"))
        else
            i = i + 1
            values[name] = arguments[i]
        end
        i = i + 1
    end
    if #files == 0 then usage "a model is missing" end
    return values, files
end

local function split(text, convert)
    local list = llm.array {}
    for item in text:gmatch "[^,]+" do list[#list + 1] = convert(item) or usage(item .. " is no number") end
    return list
end

local function itself(text) return text end

local given, files = read_options(arg)
local peers = split(given.peer, itself)
local repeats = tonumber(given.repeats)
local our_device = given.device ~= "" and (tonumber(given.device) or given.device) or nil
local processors = report.processors()

-- ---- processes ----------------------------------------------------------------------------------------------------

local function quote(text) return "'" .. text:gsub("'", "'\\''") .. "'" end

local function output(command)
    local pipe = assert(io.popen(command))
    local text = pipe:read "a"
    pipe:close()
    return text
end

-- What a process printed as its last JSON object; nil with the reason where it failed.
local function measure(command, environment)
    command = ("env %s timeout %s %s"):format(environment or "", given.limit, command)
    local line
    for candidate in output(command):gmatch "[^\n]+" do line = candidate:match "^{.*}$" or line end
    if not line then return nil, "failed: " .. command end
    return llm.json.decode(line)
end

local function absolute(path) return path:sub(1, 1) == "/" and path or os.getenv "PWD" .. "/" .. path end

local function our_command(path, spec)
    return ("lua5.4 %s/measure.lua %s %s"):format(quote(folder), quote(path), quote(llm.json.encode(spec)))
end

local function peer_command(path, spec, backend)
    spec.backend = backend
    return ("sh -c %s"):format(quote(("cd %s && exec node %s/peer/peer.mjs %s %s"):format(
        quote(given.peerfolder), quote(absolute(folder)), quote(absolute(path)), quote(llm.json.encode(spec)))))
end

-- ---- what is measured ----------------------------------------------------------------------------------------------

local function specification()
    return {
        prompt = split(given.prompt, tonumber), decode = split(given.decode, tonumber), write = tonumber(given.write),
        precision = given.precision, kv = given.kv, device = our_device, threads = processors,
    }
end

local function engines()
    local list = { { name = "llm", command = our_command } }
    for _, backend in ipairs(peers) do
        list[#list + 1] = {
            name = "llama.cpp " .. backend,
            command = function(path, spec) return peer_command(path, spec, backend) end,
        }
    end
    return list
end

local function say(...) io.stderr:write(string.format(...), "\n") end

-- One process of each engine in turn, again and again. Ours alone repeats within one process.
local function measure_speed(run, path)
    local rounds = #peers > 0 and repeats or math.min(repeats, 1)
    for round = 1, rounds do
        for _, engine in ipairs(engines()) do
            local spec = specification()
            spec.repeats = #peers > 0 and 1 or repeats
            if engine.name == "llm" then spec.sessions = split(given.sessions, tonumber) end
            local result, problem = measure(engine.command(path, spec))
            say("%s, %d of %d: %s", engine.name, round, rounds, problem or "done")
            if result then run:add(engine.name, result) end
        end
    end
end

-- Cold: neither we nor the driver find anything in the user's cache folder. Warm: the next process. The file is in the
-- system's cache in both.
local function measure_first(run, path)
    for round = 1, tonumber(given.first) do
        for _, engine in ipairs(engines()) do
            local cache = output "mktemp -d":gsub("%s+$", "")
            local command = engine.command(path, { first = true, precision = given.precision, threads = processors,
                device = our_device })
            for _, state in ipairs { "cold", "warm" } do
                local result = measure(command, "XDG_CACHE_HOME=" .. quote(cache))
                if result then
                    run:add_value("first token", state, engine.name, result.first_ms)
                    if result.pipelines then run.pipelines[state] = result.pipelines end
                end
            end
            os.execute("rm -rf " .. quote(cache))
            say("%s: first token, %d of %s", engine.name, round, given.first)
        end
    end
end

-- A single row at each depth, more rows at none.
local function measure_kernels(run, path)
    if given.profiler == "" then return end
    run.kernels = llm.array {}
    for _, rows in ipairs(split(given.rows, tonumber)) do
        for _, depth in ipairs(rows == 1 and split(given.decode, tonumber) or { 0 }) do
            local profile, problem = measure(("%s %s --rows %d --depth %d --precision %s --kv %s --device %s"):format(
                quote(given.profiler), quote(path), rows, depth, given.precision, given.kv, quote(given.device)))
            if problem then say("%s", problem) end
            run.kernels[#run.kernels + 1] = profile
        end
    end
end

local document = report.document(given, folder)
for _, path in ipairs(files) do
    local run = document:run(path)
    measure_speed(run, path)
    measure_first(run, path)
    measure_kernels(run, path)
    report.print(document, run)
    -- After each model, so that an interrupted run leaves what it has.
    if given.json ~= "" then report.write(given.json, llm.json.encode(document:plain()) .. "\n") end
    if given.markdown ~= "" then report.write(given.markdown, report.markdown(document)) end
    if given.svg ~= "" then report.write(given.svg, require "plot".draw(document)) end
end
