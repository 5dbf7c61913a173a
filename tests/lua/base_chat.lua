-- A base model (Gemma 3 270M of PyPI), whose file has no chat template, converses in one of plain words.
--   LUA_CPATH="build/lua/?.so" lua5.4 tests/lua/base_chat.lua MODEL.gguf
local llm = require "llm"
local device = os.getenv "LLM_TEST_DEVICE"
local model = assert(llm.load(..., {
    kv = "f32", precision = "high", context = 512, device = tonumber(device) or device,
}))
local session = assert(model:session { temperature = 0, max_tokens = 40, stop = "\n" })

local _, message, code = session:chat "What is the capital of France?"
local refused = code == "unsupported" or code == "bad_template"
model.info.chat_template = [[
{{ bos_token }}A conversation between a user and a helpful assistant, who answers in one short sentence.

{% for m in messages %}
{{ 'User' if m.role == 'user' else 'Assistant' }}: {{ m.content }}
{% endfor %}
{% if add_generation_prompt %}Assistant:{% endif %}]]
local first = session:chat "What is the capital of France?"
local ok = refused and first.text:find "Paris" and #session:messages() == 2
print(message, first.text)
print(ok and "1 passed, 0 failed" or "0 passed, 1 failed")
os.exit(ok and 0 or 1)
