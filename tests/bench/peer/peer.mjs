// Measures llama.cpp, as the npm package node-llama-cpp carries it. Prints one JSON object.
//   node peer.mjs FILE.gguf [vulkan|cuda|cpu] [prompt tokens] [tokens to write] [threads]
// Prompt: from the start to the first token. Decode: the tokens after it.
import {createRequire} from "node:module";
import {pathToFileURL} from "node:url";

// The package lies where the script is started, outside the tree.
const entry = createRequire(process.cwd() + "/package.json").resolve("node-llama-cpp");
const {getLlama, LlamaLogLevel} = await import(pathToFileURL(entry));

const [path, backend = "vulkan", prompt = "128", write = "48", threads = "2"] = process.argv.slice(2);
const nPrompt = Number(prompt), nWrite = Number(write);

const llama = await getLlama({
    gpu: backend === "cpu" ? false : backend, build: "never", skipDownload: true, logLevel: LlamaLogLevel.error,
});
const loading = performance.now();
const model = await llama.loadModel({modelPath: path, gpuLayers: backend === "cpu" ? 0 : "max"});
const context = await model.createContext({contextSize: nPrompt + nWrite + 64, batchSize: 512, threads: Number(threads)});
const sequence = context.getSequence();
const loadMs = performance.now() - loading;

const unit = model.tokenize("Once upon a time there was a little girl who lived near a deep forest. ");
const tokens = Array.from({length: nPrompt}, (_, i) => unit[i % unit.length]);

async function measure(ids, count) {
    await sequence.clearHistory();
    const start = performance.now();
    let first = 0, last = start, written = 0;
    for await (const _ of sequence.evaluate(ids, {temperature: 0, yieldEogTokens: true})) {
        last = performance.now();
        if (written++ === 0) first = last;
        if (written > count) break;
    }
    return {prompt: ids.length * 1e3 / (first - start), decode: (written - 1) * 1e3 / (last - first), written};
}

await measure(tokens, 2); // compiles what it needs
const {prompt: promptPerSecond, decode, written} = await measure(tokens, nWrite);
console.log(JSON.stringify({
    engine: "llama.cpp", backend, device: (await llama.getGpuDeviceNames())[0] ?? "cpu", load_ms: Math.round(loadMs),
    prompt_tokens: nPrompt, tokens: written - 1, prompt_per_second: promptPerSecond, generate_per_second: decode,
}));
await model.dispose();
await llama.dispose();
process.exit(0);
