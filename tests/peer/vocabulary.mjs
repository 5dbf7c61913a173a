// Writes llama.cpp's ids of texts, as the npm package node-llama-cpp carries it, a line a text; of every fourth the special
// tokens are tokens, as random_text.h has it.
//   node vocabulary.mjs TEXTS FOLDER_OF_IDS FILE.gguf...
import {createRequire} from "node:module";
import {readFileSync, writeFileSync} from "node:fs";
import {basename} from "node:path";
import {pathToFileURL} from "node:url";

// The package lies where the script is started, outside the tree.
const entry = createRequire(process.cwd() + "/package.json").resolve("node-llama-cpp");
const {getLlama, LlamaLogLevel} = await import(pathToFileURL(entry));

const [file, out, ...vocabularies] = process.argv.slice(2);
const bytes = readFileSync(file), texts = [];
for (let at = 0; at < bytes.length;) {
    const size = bytes.readUInt32LE(at);
    texts.push(bytes.toString("utf8", at + 4, at + 4 + size));
    at += 4 + size;
}
const llama = await getLlama({gpu: false, build: "never", skipDownload: true, logLevel: LlamaLogLevel.disabled});
for (const path of vocabularies) {
    const model = await llama.loadModel({modelPath: path, gpuLayers: 0, vocabOnly: true});
    const lines = texts.map((text, i) => model.tokenize(text, i % 4 === 3).join(" ") + "\n");
    writeFileSync(`${out}/${basename(path, ".gguf")}.ids`, lines.join(""));
    await model.dispose();
}
process.exit(0);
