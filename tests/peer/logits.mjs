// Writes the logits of llama.cpp (CPU, f32 cache, as the npm package node-llama-cpp carries it) for models of peer_models.h,
// in the order of ids, as little-endian f32.
//   node logits.mjs FOLDER_OF_MODELS FOLDER_OF_LOGITS NAME...
import {createRequire} from "node:module";
import {writeFileSync} from "node:fs";
import {pathToFileURL} from "node:url";

// The package lies where the script is started, outside the tree.
const entry = createRequire(process.cwd() + "/package.json").resolve("node-llama-cpp");
const {getLlama, LlamaLogLevel} = await import(pathToFileURL(entry));

// As in peer_models.h.
const vocab = 300, rows = 4, idsFor = (step) => Array.from({length: (rows - 1) * step + 1}, (_, i) => (i * 37 + 5) % vocab);

const [models, out, ...names] = process.argv.slice(2);
const llama = await getLlama({gpu: false, build: "never", skipDownload: true, logLevel: LlamaLogLevel.error});
let failed = false;
for (const name of names) {
    const step = name.endsWith("-far") ? 113 : 13;
    try {
        const model = await llama.loadModel({modelPath: `${models}/${name}.gguf`, gpuLayers: 0});
        const context = await model.createContext({
            contextSize: step > 13 ? 512 : 256, batchSize: 64, threads: 2, flashAttention: false,
            experimentalKvCacheKeyType: "F32", experimentalKvCacheValueType: "F32",
        });
        const results = await context.getSequence().controlledEvaluate(
            idsFor(step).map((id, i) => i % step === 0 ? [id, {generateNext: {logits: true}}] : id));
        const kept = results.filter((result) => result?.next?.logits != null);
        const logits = new Float32Array(kept.length * vocab);
        kept.forEach(({next}, row) => next.logits.forEach((logit, id) => { logits[row * vocab + id] = logit; }));
        writeFileSync(`${out}/${name}.logits`, logits);
        console.log(`${name}: ${kept.length} x ${kept[0].next.logits.size} in a context of ${context.contextSize}`);
        await model.dispose();
    } catch (error) {
        failed = true;
        console.error(`${name}: ${error.message}`);
    }
}
process.exit(failed ? 1 : 0);
