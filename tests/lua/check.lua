-- The harness: counts, one line for each check that failed.
local check = { passed = 0, failed = 0 }

function check.ok(name, ok, detail)
    if ok then check.passed = check.passed + 1 return ok end
    check.failed = check.failed + 1
    print("failed: " .. name .. (detail ~= nil and "  [" .. tostring(detail) .. "]" or ""))
end

function check.equal(name, got, wanted)
    check.ok(name, got == wanted, tostring(got) .. " is not " .. tostring(wanted))
end

-- Misuse: an error whose message holds the words, with the position of the caller's line.
function check.raises(name, words, f, ...)
    local ok, err = pcall(f, ...)
    check.ok(name, not ok and tostring(err):find(words, 1, true), ok and "did not raise" or err)
end

-- The world: nil, message, code.
function check.fails(name, code, value, message, got)
    check.ok(name, value == nil and type(message) == "string" and got == code,
        tostring(value) .. ", " .. tostring(message) .. ", " .. tostring(got))
end

function check.area(name, body, ...)
    local ok, err = xpcall(body, debug.traceback, ...)
    if not ok then check.ok(name .. " (raised)", false, err) end
end

return check
