-- What becomes of a session whose context is full: overflow = "stop", "drop" or function(session). Dropping leaves a
-- quarter of the context free, so that it does not happen again at once.
local _, core = ...

local function slice(list, from)
    local out = {}
    for i = from, #list do out[#out + 1] = list[i] end
    return out
end

local function acts(overflow)
    return overflow == "drop" or type(overflow) == "function"
end

-- Messages without the oldest exchange: one of the user and what follows up to the next one. System messages in front
-- stay. nil where the last exchange is the only one.
local function without_oldest(messages)
    local first = 1
    while messages[first] and messages[first].role == "system" do first = first + 1 end
    local after = first + 1
    while messages[after] and messages[after].role ~= "user" do after = after + 1 end
    if not messages[after] then return nil end
    local list = {}
    for i = 1, #messages do
        if i < first or i >= after then list[#list + 1] = messages[i] end
    end
    return list
end

local function most_tokens(self) return self.capacity - math.floor(self.capacity / 4) end

-- Calls the script's function. Meanwhile session:messages is about the turn.
local function call(overflow, self, own, turn)
    own.overflowing = turn
    local ok, err = pcall(overflow, self)
    own.overflowing = nil
    if not ok then error(err, 0) end
end

-- Drops the older half of the tokens, but for those that the session was fed before it first wrote, or at least the
-- beginning token. True where something went.
local function drop_tokens(self, own)
    local held = self:tokens()
    local keep = own.fed or 0
    if keep > self.capacity / 2 then keep = 0 end
    if keep == 0 and held[1] and held[1] == own.model.info.bos_token then keep = 1 end
    local dropped = math.ceil((#held - keep) / 2)
    return dropped > 0 and core.replace(self, keep, slice(held, keep + dropped + 1)) ~= nil
end

-- ---- before a turn, or another prompt, is read ----

-- place(): renders the turn's messages and finds out what the session has of them already.
function core.fit_turn(self, own, turn, overflow, place)
    if not acts(overflow) or turn.length < self.capacity then return true end
    if type(overflow) == "function" then
        call(overflow, self, own, turn)
        return place()
    end
    local shorter = without_oldest(turn.messages)
    while shorter and turn.length > most_tokens(self) do
        turn.messages, own.by_hand = shorter, nil
        local ok, message, code = place()
        if not ok then return nil, message, code end
        shorter = without_oldest(shorter)
    end
    return true
end

-- start() answers as core.start does; again and again, while the session can be made shorter.
function core.start_fitting(self, own, overflow, start)
    local before
    local started, message, code = start()
    while code == "context_full" and acts(overflow) and self.length > 0 and self.length ~= before do
        before = self.length
        if overflow == "drop" then drop_tokens(self, own) else call(overflow, self, own, nil) end
        started, message, code = start()
    end
    return started, message, code
end

-- ---- while it writes ----

-- The turn's messages anew, and behind them what has been written so far.
local function place_again(self, own, turn, written)
    local text, ids = core.turn_ids(own, turn)
    if not text then return false end
    local held, n = self:tokens(), 0
    while ids[n + 1] ~= nil and held[own.base + n + 1] == ids[n + 1] do n = n + 1 end
    local rest = slice(ids, n + 1)
    for _, id in ipairs(written) do rest[#rest + 1] = id end
    if own.base + n + #rest >= self.capacity then return false end
    turn.text, turn.length = text, own.base + #ids
    return core.replace(self, own.base + n, rest) ~= nil
end

local function drop_exchanges(self, own, turn, written)
    local shorter = without_oldest(turn.messages)
    while shorter do
        turn.messages = shorter
        shorter = without_oldest(shorter)
        if place_again(self, own, turn, written) and self.length <= most_tokens(self) then return end
    end
end

local function make_room(self, own, turn, overflow)
    local written = turn and slice(self:tokens(), turn.length + 1)
    if type(overflow) == "function" then
        call(overflow, self, own, turn)
        if turn and turn.changed then place_again(self, own, turn, written) end
    elseif turn and not own.by_hand then
        drop_exchanges(self, own, turn, written)
    else
        drop_tokens(self, own)
    end
end

-- Options of a generation with a function that makes room; without max_tokens it writes as many as the context holds.
function core.with_overflow(self, own, turn, options)
    local overflow = type(options) == "table" and options.overflow
    if not acts(overflow) then return options end
    local all = {}
    for name, value in pairs(options) do all[name] = value end
    all.overflow = function() make_room(self, own, turn, overflow) end
    if all.max_tokens == nil then all.max_tokens = self.capacity end
    return all
end
