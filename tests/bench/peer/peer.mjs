// Measures llama.cpp, as the npm package node-llama-cpp carries it, in one process, and prints one JSON object.
//   node peer.mjs FILE.gguf '{"backend":"vulkan","prompt":[128],"decode":[0]}'
// The second argument is that of ../measure.lua, with backend (vulkan, cuda or cpu) and threads; sessions are left out.
// Prompt: from the start to the first token. Decode: the tokens after it.
import {createRequire} from "node:module";
import {readFileSync} from "node:fs";
import {pathToFileURL} from "node:url";

const began = performance.now();
// The package lies where the script is started, outside the tree.
const require = createRequire(process.cwd() + "/package.json");
const {getLlama, LlamaLogLevel} = await import(pathToFileURL(require.resolve("node-llama-cpp")));
const version = JSON.parse(readFileSync(process.cwd() + "/node_modules/node-llama-cpp/package.json")).version;

const [path, argument = "{}"] = process.argv.slice(2);
const {backend = "vulkan", threads = 2, prompt = [], decode = [], write = 32, repeats = 1, first} = JSON.parse(argument);
const SHORT = 16;

const llama = await getLlama({
    gpu: backend === "cpu" ? false : backend, build: "never", skipDownload: true, logLevel: LlamaLogLevel.error,
});
const model = await llama.loadModel({modelPath: path, gpuLayers: backend === "cpu" ? 0 : "max"});
const contextSize = Math.max(SHORT, ...prompt, ...decode) + write + 64;
const context = await model.createContext({contextSize, batchSize: 512, threads});
const sequence = context.getSequence();

function memory() {
    const status = readFileSync("/proc/self/status", "utf8");
    const bytes = (name) => Number(status.match(new RegExp(name + ":\\s+(\\d+) kB"))?.[1] ?? 0) * 1024;
    return {anonymous: bytes("RssAnon"), resident: bytes("VmRSS"), peak: bytes("VmHWM")};
}
const result = {engine: "llama.cpp " + backend, load_ms: performance.now() - began, memory_loaded: memory(), rows: []};

const unit = model.tokenize("Once upon a time there was a little girl who lived near a deep forest. ");
const tokens = (n) => Array.from({length: n}, (_, i) => unit[i % unit.length]);

// The sequence reads n tokens and writes count more.
async function measure(n, count) {
    await sequence.clearHistory();
    const start = performance.now();
    let firstAt = 0, last = start, written = 0;
    for await (const _ of sequence.evaluate(tokens(n), {temperature: 0, yieldEogTokens: true})) {
        last = performance.now();
        if (written++ === 0) firstAt = last;
        if (written >= count) break;
    }
    return {prompt: n * 1e3 / (firstAt - start), decode: (written - 1) * 1e3 / (last - firstAt)};
}

async function row(name, size, n, count) {
    const values = [];
    for (let i = 0; i < repeats; i++) values.push((await measure(n, count))[name]);
    result.rows.push({name, size, values});
}

if (first) {
    await measure(SHORT, 1);
    result.first_ms = performance.now() - began;
} else {
    await measure(SHORT, 2); // compiles what it needs
    for (const n of prompt) {
        await measure(Math.min(n, 128), 1);
        await row("prompt", n, n, 1);
    }
    for (const depth of decode) await row("decode", depth, Math.max(depth, SHORT), write);
}

result.memory = memory();
result.device = {name: (await llama.getGpuDeviceNames())[0] ?? "cpu"};
result.version = `node-llama-cpp ${version}, llama.cpp ${llama.llamaCppRelease?.release ?? ""}`;
console.log(JSON.stringify(result));
await model.dispose();
await llama.dispose();
process.exit(0);
