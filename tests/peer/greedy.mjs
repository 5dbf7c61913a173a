// Puts into FILE.json what llama.cpp (CPU, f32 cache, as the npm package node-llama-cpp carries it) writes after each prompt
// that the file holds: `prompt`, the ids of its text, `ids`, the best token at each step until the 32nd or an end token, and
// `logits`, the two highest at each step. With "plain", for the model that plain.py made of the same file, ids and logits go
// into `plain`.
//   node greedy.mjs MODEL.gguf FILE.json [plain]
import {createRequire} from "node:module";
import {readFileSync, writeFileSync} from "node:fs";
import {pathToFileURL} from "node:url";

// The package lies where the script is started, outside the tree.
const entry = createRequire(process.cwd() + "/package.json").resolve("node-llama-cpp");
const {getLlama, LlamaLogLevel} = await import(pathToFileURL(entry));

const steps = 32;
const [modelPath, file, plain] = process.argv.slice(2);
const llama = await getLlama({gpu: false, build: "never", skipDownload: true, logLevel: LlamaLogLevel.error});
const model = await llama.loadModel({modelPath, gpuLayers: 0});
const context = await model.createContext({
    contextSize: 1024, batchSize: 256, threads: 2, flashAttention: false,
    experimentalKvCacheKeyType: "F32", experimentalKvCacheValueType: "F32",
});
const begin = model.tokens.shouldPrependBosToken ? [model.tokens.bos] : [];
const lines = [];
for (const given of JSON.parse(readFileSync(file, "utf8"))) {
    const {text, messages} = given;
    // A text made of messages holds special tokens, and the template has put the first one.
    const tokens = model.tokenize(text, messages != null);
    const prompt = messages && tokens[0] === begin[0] ? tokens : [...begin, ...tokens];
    const sequence = context.getSequence(), ids = [], logits = [];
    for (let input = prompt; ids.length < steps && !(ids.length && model.isEogToken(ids.at(-1))); input = [ids.at(-1)]) {
        const results = await sequence.controlledEvaluate(
            input.map((id, i) => i + 1 === input.length ? [id, {generateNext: {logits: true}}] : id));
        const best = [];
        for (const entry of results.at(-1).next.logits) if (best.push(entry) === 2) break; // they come sorted
        ids.push(best[0][0]);
        logits.push(best.map(([, logit]) => Number(logit.toFixed(4))));
    }
    await sequence.dispose();
    console.log(JSON.stringify(text.slice(-40)) + ": " + JSON.stringify(model.detokenize(ids)));
    lines.push(JSON.stringify({...given, prompt, ...(plain ? {plain: {ids, logits}} : {ids, logits})}));
}
writeFileSync(file, `[${lines.join(",\n")}]\n`);
process.exit(0);
