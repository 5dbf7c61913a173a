-- An SVG of the measurements: bars with their spread, and how many times faster ours are.
local report = require "report"
local plot = {}

local WIDTH, LEFT, RIGHT, BAR, GAP, ROW_GAP = 900, 190, 250, 14, 3, 12
local colours = { "#3b6fd4", "#b9c0cc", "#d8b26e", "#a3b899" } -- ours, then the peers
local panels = {
    { name = "prompt", title = "Reading a prompt, tokens/s" },
    { name = "decode", title = "Writing, tokens/s" },
    { name = "sessions", title = "Several sessions at once, tokens/s of all together" },
    { name = "first token", title = "A new process to its first token, ms (less is better)" },
}

local function escape(text) return (text:gsub("[&<>]", { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;" })) end

local canvas = {}
canvas.__index = canvas

function canvas:add(...) self.lines[#self.lines + 1] = string.format(...) end

function canvas:text(class, x, y, anchor, text)
    self:add('<text class="%s" x="%.1f" y="%.1f" text-anchor="%s">%s</text>', class, x, y, anchor, escape(text))
end

function canvas:bar(x, y, length, colour)
    local width = math.max(length, 1)
    self:add('<rect x="%.1f" y="%.1f" width="%.1f" height="%d" rx="2" fill="%s"/>', x, y, width, BAR, colour)
end

-- From the least to the greatest value.
function canvas:whisker(from, to, y)
    if to - from < 2 then return end
    self:add('<path class="whisker" d="M%.1f %.1fH%.1fM%.1f %.1fv6M%.1f %.1fv6"/>', from, y, to, from, y - 3, to, y - 3)
end

-- "15.2× llama.cpp vulkan", or of several "15.2× vulkan, 1.1× cpu"
local function ratios(row, order)
    local list = {}
    for _, engine in ipairs(order) do
        local r, name = row.ratios[engine], #order > 2 and engine:match "%S+$" or engine
        if r then list[#list + 1] = ("%s× %s"):format(report.number(r.median), name) end
    end
    return table.concat(list, ", ")
end

local function greatest(rows)
    local most = 0
    for _, row in ipairs(rows) do
        for _, s in pairs(row.engines) do most = math.max(most, s.high) end
    end
    return most
end

local function draw_row(c, row, order, scale)
    local top = c.y
    for i, engine in ipairs(order) do
        local s = row.engines[engine]
        if s then
            c:bar(LEFT, c.y, s.median * scale, colours[(i - 1) % #colours + 1])
            c:whisker(LEFT + s.low * scale, LEFT + s.high * scale, c.y + BAR / 2)
            local x = LEFT + s.high * scale + 6
            local value = report.number(s.median)
            c:text("value", x, c.y + BAR - 3, "start", value)
            if engine == "llm" then c:text("ratio", x + 8 * #value + 8, c.y + BAR - 3, "start", ratios(row, order)) end
            c.y = c.y + BAR + GAP
        end
    end
    c:text("label", LEFT - 10, (top + c.y - GAP) / 2 + 4, "end", row.label)
    c.y = c.y + ROW_GAP
end

local function draw_panel(c, panel, run)
    local rows = {}
    for _, row in ipairs(run:table()) do
        if row.name == panel.name then rows[#rows + 1] = row end
    end
    if #rows == 0 then return end
    local most = greatest(rows)
    c:text("panel", LEFT, c.y + 12, "start", panel.title)
    c.y = c.y + 24
    local scale, top = (WIDTH - LEFT - RIGHT) / most, c.y - 4
    for _, row in ipairs(rows) do draw_row(c, row, run.order, scale) end
    c:add('<path class="axis" d="M%d %.1fV%.1f"/>', LEFT, top, c.y - ROW_GAP + 4)
    c.y = c.y + 14
end

local function draw_legend(c, run)
    local x = LEFT
    for i, engine in ipairs(run.order) do
        local device = run.engines[engine].device.name
        local text = device == "cpu" and engine or engine .. " on " .. device
        c:bar(x, c.y, BAR, colours[(i - 1) % #colours + 1])
        c:text("value", x + BAR + 6, c.y + BAR - 3, "start", text)
        c.y = c.y + BAR + GAP + 2
    end
    c.y = c.y + 10
end

function plot.draw(document)
    local c = setmetatable({ lines = {}, y = 24 }, canvas)
    for _, run in ipairs(document.runs) do
        c:text("title", LEFT, c.y + 8, "start", report.title(run))
        c.y = c.y + 22
        draw_legend(c, run)
        for _, panel in ipairs(panels) do draw_panel(c, panel, run) end
        c.y = c.y + 10
    end
    local m = document.machine
    c:text("note", LEFT, c.y, "start", ("%s, %d processors, %s; medians, lines from least to greatest"):format(
        m.cpu or m.system or "", m.processors, document.date:sub(1, 10)))
    local height = c.y + 16
    return ([[
<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d">
<style>
text { font-family: system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; fill: #24292f }
.title { font-size: 16px; font-weight: 600 } .panel { font-size: 13px; font-weight: 600 }
.label, .value, .ratio { font-size: 12px } .ratio { font-weight: 600; fill: #2554ad }
.note { font-size: 11px; fill: #6b7480 }
.axis { stroke: #9aa3af; stroke-width: 1 } .whisker { stroke: #24292f; stroke-width: 1; fill: none; opacity: 0.6 }
</style>
<rect width="%d" height="%d" fill="#ffffff"/>
%s
</svg>
]]):format(WIDTH, height, WIDTH, height, WIDTH, height, table.concat(c.lines, "\n"))
end

return plot
