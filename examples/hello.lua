local llm = require "llm"
local path = arg[1] or os.getenv "HOME" .. "/.cache/llm/SmolLM2-135M-Instruct.Q4_1.gguf"
local model = assert(llm.load(path))
print(model.info.name, model.info.device.name)
for piece in model:stream("Once upon a time", { max_tokens = 60 }) do
    io.write(piece) io.flush()
end
local text, result = model:generate("The capital of France is", { temperature = 0, max_tokens = 20 })
print("\n" .. text, ("%.1f tokens/s"):format(result.timings.generate_per_second))
model:close()
