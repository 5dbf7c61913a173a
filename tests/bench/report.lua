-- What the benchmark has measured: series of values with median and spread, ratios, the machine; as a table and as the
-- plain data that goes to JSON.
local llm = require "llm"
local report = {}

-- ---- series --------------------------------------------------------------------------------------------------------

local function median(sorted)
    local middle = math.floor((#sorted + 1) / 2)
    return #sorted % 2 == 1 and sorted[middle] or (sorted[middle] + sorted[middle + 1]) / 2
end

local function series(values)
    local sorted = table.move(values, 1, #values, 1, {})
    table.sort(sorted)
    return { values = values, median = median(sorted), low = sorted[1], high = sorted[#sorted] }
end

-- How many times faster ours is. Pair by pair where both have as many values, else from median to median.
local function ratio(ours, peer, lower_is_better)
    local function times(a, b) return lower_is_better and b / a or a / b end
    if #ours.values ~= #peer.values then
        local r = times(ours.median, peer.median)
        return { median = r, low = r, high = r, values = llm.array { r } }
    end
    local list = llm.array {}
    for i, value in ipairs(ours.values) do list[i] = times(value, peer.values[i]) end
    return series(list)
end

-- ---- one model -----------------------------------------------------------------------------------------------------

local units = {
    prompt = "tokens/s", decode = "tokens/s", sessions = "tokens/s", ["load"] = "ms", ["first token"] = "ms",
}
local labels = {
    prompt = "prompt of %s tokens", decode = "decode at depth %s", sessions = "%s sessions at once",
    load = "load%s", ["first token"] = "first token, %s",
}

local function label(name, size)
    return size == 1 and name == "sessions" and "1 session" or labels[name]:format(size)
end

local run_methods = {}
run_methods.__index = run_methods

function run_methods:add_value(name, size, engine, value)
    local key = name .. " " .. size
    local row = self.by_key[key]
    if not row then
        row = { name = name, size = size, unit = units[name], label = label(name, size), engines = {} }
        self.by_key[key] = row
        self.rows[#self.rows + 1] = row
    end
    row.engines[engine] = row.engines[engine] or llm.array {}
    table.insert(row.engines[engine], value)
end

-- A process's result, as measure.lua and peer.mjs print it.
function run_methods:add(engine, result)
    if not self.engines[engine] then
        self.engines[engine] = {}
        self.order[#self.order + 1] = engine
    end
    local about = self.engines[engine]
    about.device, about.version, about.memory = result.device, result.version, result.memory
    about.memory_loaded = result.memory_loaded
    self.model = result.model or self.model
    for _, row in ipairs(result.rows) do
        for _, value in ipairs(row.values) do self:add_value(row.name, row.size, engine, value) end
    end
    self:add_value("load", "", engine, result.load_ms)
end

-- The rows with medians, spread and ratios.
function run_methods:table()
    local list = llm.array {}
    for i, row in ipairs(self.rows) do
        local out = { name = row.name, size = row.size, unit = row.unit, label = row.label, engines = {}, ratios = {} }
        for engine, values in pairs(row.engines) do out.engines[engine] = series(values) end
        local ours = out.engines.llm
        for engine, peer in pairs(out.engines) do
            if ours and engine ~= "llm" then out.ratios[engine] = ratio(ours, peer, row.unit == "ms") end
        end
        list[i] = out
    end
    return list
end

function run_methods:plain()
    return {
        file = self.file, model = self.model, engines = self.engines, order = self.order, rows = self:table(),
        kernels = self.kernels, pipelines = self.pipelines,
    }
end

-- ---- all of them ---------------------------------------------------------------------------------------------------

local function first_line(path, pattern)
    local file = io.open(path)
    if not file then return nil end
    local text = file:read "a"
    file:close()
    return text:match(pattern)
end

local function command(text)
    local pipe = io.popen(text .. " 2>/dev/null")
    local line = pipe:read "l"
    pipe:close()
    return line
end

function report.processors() return tonumber(command "getconf _NPROCESSORS_ONLN") or 1 end

-- How much of a second the processors spend on others, from 0 to 1; nil where that is not told.
local function busy_share()
    local function times()
        local all, idle, i = 0, 0, 0
        for n in (first_line("/proc/stat", "^cpu +([^\n]+)") or ""):gmatch "%d+" do
            i = i + 1
            all = all + tonumber(n)
            if i == 4 or i == 5 then idle = idle + tonumber(n) end -- idle, waiting for disks
        end
        return all, idle
    end
    local all, idle = times()
    llm.sleep(1)
    local all_later, idle_later = times()
    return all_later > all and 1 - (idle_later - idle) / (all_later - all) or nil
end

local function machine()
    return {
        cpu = first_line("/proc/cpuinfo", "model name%s*: ([^\n]+)"), processors = report.processors(),
        memory = (tonumber(first_line("/proc/meminfo", "MemTotal:%s*(%d+) kB")) or 0) * 1024,
        system = command "uname -srm", busy = busy_share(),
        nvidia = command "nvidia-smi --query-gpu=name,driver_version --format=csv,noheader",
    }
end

local document_methods = {}
document_methods.__index = document_methods

function document_methods:run(path)
    local run = setmetatable({
        file = path:match "[^/]+$", rows = {}, by_key = {}, engines = {}, order = llm.array {}, pipelines = {},
    }, run_methods)
    self.runs[#self.runs + 1] = run
    return run
end

function document_methods:plain()
    local runs = llm.array {}
    for i, run in ipairs(self.runs) do runs[i] = run:plain() end
    return {
        date = self.date, machine = self.machine, options = self.options, commit = self.commit, version = llm._VERSION,
        runs = runs,
    }
end

-- Those that say where things lie are nobody else's business.
local function without_paths(options)
    local out = {}
    for name, value in pairs(options) do out[name] = value end
    for _, name in ipairs { "json", "svg", "markdown", "profiler", "peerfolder" } do out[name] = nil end
    return out
end

-- folder: of the sources, whose commit is told
function report.document(options, folder)
    return setmetatable({
        date = os.date "!%Y-%m-%dT%H:%M:%SZ", machine = machine(), options = without_paths(options), runs = {},
        commit = command(("git -C '%s' describe --always --dirty"):format(folder)),
    }, document_methods)
end

function report.write(path, text)
    local file = assert(io.open(path, "w"))
    file:write(text)
    file:close()
end

-- ---- for people ----------------------------------------------------------------------------------------------------

-- Three significant digits.
function report.number(value)
    if value >= 99.95 then return ("%.0f"):format(value) end
    return (value >= 9.995 and "%.1f" or "%.2f"):format(value)
end

local function spread(s)
    if #s.values == 1 then return report.number(s.median) end
    return ("%s (%s to %s)"):format(report.number(s.median), report.number(s.low), report.number(s.high))
end

local function megabytes(bytes) return ("%.0f MB"):format(bytes / 1e6) end

function report.title(run)
    local m = run.model
    if not m then return run.file end
    return ("%s %s, %.3g M parameters, %s"):format(m.name, m.quantization, m.parameters / 1e6, megabytes(m.file_bytes))
end

local function print_memory(run)
    for _, engine in ipairs(run.order) do
        local memory = run.engines[engine].memory
        if memory then
            print(("%s: %s of its own in this process (RssAnon), %s at most with mapped files"):format(
                engine, megabytes(memory.anonymous), megabytes(memory.peak)))
        end
    end
    local m = run.model and run.model.memory
    if m then
        print(("llm on the device: weights %s, KV cache %s, scratch %s"):format(
            megabytes(m.weights), megabytes(m.kv), megabytes(m.scratch)))
    end
end

-- Of the last process without caches, and of the one that followed it.
local function print_pipelines(run)
    for _, state in ipairs { "cold", "warm" } do
        local p = run.pipelines[state]
        if p then
            print(("first token, %s: %d pipelines, %s, %.0f ms"):format(state, p.made,
                p.reported > 0 and ("%d of %d cache hits"):format(p.cached, p.reported)
                or "the driver tells no cache hits", p.ms))
        end
    end
end

-- Each process measures them anew: the best of all is what the device can do.
local function peaks(profiles)
    local best = { read = 0, compute = 0 }
    for _, profile in ipairs(profiles) do
        best.read = math.max(best.read, profile.read_gbs)
        best.compute = math.max(best.compute, profile.peak_gflops)
    end
    return best
end

local function print_kernels(profile, peak)
    print(("\n%d row%s at depth %d: %.2f ms a step, %.2f ms of them in kernels"):format(
        profile.rows, profile.rows == 1 and "" or "s", profile.depth, profile.step_ms, profile.kernels_ms))
    print(("%-12s %-24s %5s %10s %7s %8s %9s %9s %7s"):format(
        "what", "kernel", "calls", "us each", "share", "GB/s", "of read", "GFLOP/s", "of peak"))
    for _, k in ipairs(profile.kernels) do
        print(("%-12s %-24s %5d %10.1f %6.1f%% %8.2f %8.1f%% %9.2f %6.1f%%"):format(k.what, k.kernel, k.calls, k.us,
            k.share * 100, k.gbs, k.gbs / peak.read * 100, k.gflops, k.gflops / peak.compute * 100))
    end
end

-- What runs beside it spoils the numbers.
local function warning(document)
    local busy = document.machine.busy or 0
    if busy < 0.1 then return nil end
    return ("NOTE: the processors were %.0f %% busy before it began: do not trust these numbers"):format(busy * 100)
end

function report.print(document, run)
    local m = document.machine
    print(("%s  %s, %d processors, %s"):format(document.date, m.cpu or "", m.processors, m.system))
    if warning(document) then print(warning(document)) end
    for _, engine in ipairs(run.order) do
        local about = run.engines[engine]
        local version = about.version .. (engine == "llm" and document.commit and " " .. document.commit or "")
        print(("%s: %s, %s%s"):format(engine, version, about.device.name,
            about.device.driver and ", " .. about.device.driver or ""))
    end
    print(("\n%s; precision %s\nmedian (least to greatest)\n"):format(report.title(run), document.options.precision))
    local head = ("%-26s %-9s %-24s"):format("", "", "llm")
    for i = 2, #run.order do head = head .. (" %-24s %-22s"):format(run.order[i], "times faster") end
    print(head)
    for _, row in ipairs(run:table()) do
        local line = ("%-26s %-9s %-24s"):format(row.label, row.unit, row.engines.llm and spread(row.engines.llm) or "")
        for i = 2, #run.order do
            local engine = run.order[i]
            line = line .. (" %-24s %-22s"):format(row.engines[engine] and spread(row.engines[engine]) or "",
                row.ratios[engine] and spread(row.ratios[engine]) or "")
        end
        print((line:gsub("%s+$", "")))
    end
    print()
    print_memory(run)
    print_pipelines(run)
    if run.kernels and #run.kernels > 0 then
        local peak = peaks(run.kernels)
        print(("\nThe device reads %.1f GB/s and computes %.1f GFLOP/s in f32"):format(peak.read, peak.compute))
        for _, profile in ipairs(run.kernels) do print_kernels(profile, peak) end
    end
    print()
end

-- For the README: one table of all models.
function report.markdown(document)
    local lines = {}
    for _, run in ipairs(document.runs) do
        local head, rule = ("| %s | | llm |"):format(report.title(run)), "|---|---|---|"
        for i = 2, #run.order do
            head, rule = ("%s %s | times faster |"):format(head, run.order[i]), rule .. "---|---|"
        end
        lines[#lines + 1] = head .. "\n" .. rule
        for _, row in ipairs(run:table()) do
            local ours = row.engines.llm
            local line = ("| %s | %s | %s |"):format(row.label, row.unit, ours and report.number(ours.median) or "")
            for i = 2, #run.order do
                local peer, r = row.engines[run.order[i]], row.ratios[run.order[i]]
                line = ("%s %s | %s |"):format(line, peer and report.number(peer.median) or "", r and spread(r) or "")
            end
            lines[#lines + 1] = line
        end
        lines[#lines + 1] = ""
    end
    return table.concat(lines, "\n")
end

return report
