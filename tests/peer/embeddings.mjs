// Writes the embeddings of llama.cpp (CPU, as the npm package node-llama-cpp carries it), pooled as the file says and not
// normalized, for the texts of tests/support/encoder_make.h, as little-endian f32.
//   node embeddings.mjs FOLDER_OF_MODELS FOLDER_OF_EMBEDDINGS NAME...
import {createRequire} from "node:module";
import {writeFileSync} from "node:fs";
import {pathToFileURL} from "node:url";

// The package lies where the script is started, outside the tree.
const entry = createRequire(process.cwd() + "/package.json").resolve("node-llama-cpp");
const {getLlama, LlamaLogLevel} = await import(pathToFileURL(entry));

// As in encoder_make.h.
const vocab = 300, lengths = [1, 40, 150], contextSize = 256;
const id = (i) => i === 0 ? 1 : (i * 37 + 5) % vocab;

const [models, out, ...names] = process.argv.slice(2);
const llama = await getLlama({gpu: false, build: "never", skipDownload: true, logLevel: LlamaLogLevel.error});
let failed = false;
for (const name of names) {
    try {
        const model = await llama.loadModel({modelPath: `${models}/${name}.gguf`, gpuLayers: 0});
        const context = await model.createEmbeddingContext({contextSize, batchSize: contextSize, threads: 2});
        const rows = [];
        for (const length of lengths) {
            const {vector} = await context.getEmbeddingFor(Array.from({length}, (_, i) => id(i)));
            rows.push(...vector);
        }
        writeFileSync(`${out}/${name}.embeddings`, new Float32Array(rows));
        console.log(`${name}: ${lengths.length} x ${rows.length / lengths.length}`);
        await model.dispose();
    } catch (error) {
        failed = true;
        console.error(`${name}: ${error.message}`);
    }
}
process.exit(failed ? 1 : 0);
