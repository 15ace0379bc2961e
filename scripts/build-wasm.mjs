// Puts WebAssembly into build/src/codecs: every encoder of src/codecs that is written in AssemblyScript, compiled where it is
// older than its sources, and the modules of other packages.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import * as fs from "node:fs";
import * as path from "node:path";

const root = path.resolve(import.meta.dirname, "..");
const codecs = path.join(root, "src/codecs");
const compiler = path.join(root, "node_modules/assemblyscript/bin/asc.js");

const modified = (file) => fs.statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0;

// Encoders may import each other's files, so all of their sources count for each.
const folders = fs.readdirSync(codecs, { withFileTypes: true }).filter((entry) => entry.isDirectory());
const sources = folders.flatMap(({ name }) =>
  fs.readdirSync(path.join(codecs, name)).map((file) => path.join(codecs, name, file)),
);
const newest = Math.max(...[...sources, compiler].map(modified));

for (const { name } of folders) {
  const config = path.join(codecs, name, "asconfig.json");
  if (!fs.existsSync(config)) continue;
  const output = path.join(root, "build/src/codecs", `${name}.wasm`);
  if (newest < modified(output)) continue;
  const { status } = spawnSync(process.execPath, [compiler, "--config", config], { cwd: root, stdio: "inherit" });
  if (status !== 0) process.exit(1);
}

// Of these packages only the WebAssembly is used, and none of their code runs, not even at their installation. What src/codecs
// knows of a module, among it exports that are named by letters, holds for the one with this SHA-256: when a package is
// updated, look at the JavaScript that comes with the module. NOTICE.md in src/codecs has their licences.
const modules = {
  // liblzma 5.8.4
  "liblzma.wasm": {
    file: "node-liblzma/lib/wasm/liblzma.wasm",
    sha256: "28f0121f94599cf9ddddeb0a760a0393e1f1a59500d63cdc5c4a8ab359f13f1d",
  },
  // libzstd, simple interface
  "zstd-encoder.wasm": {
    file: "@foxglove/wasm-zstd/dist/wasm-zstd.wasm",
    sha256: "13704a218030bf6b1626c2bf24545290a9bce153784691d743c8c8c6ebf18f0d",
  },
  // libzstd's decoder, with its streaming interface; in a string of the package's JavaScript
  "zstd-decoder.wasm": {
    file: "zstddec/dist/zstddec-stream.mjs",
    string: /^const wasm = "([A-Za-z0-9+/=]+)";$/m,
    sha256: "793b767467d8effccc43e8198c854f587835493a748512fa4352837a96fd1060",
  },
};
for (const [name, { file, string, sha256 }] of Object.entries(modules)) {
  const source = path.join(root, "node_modules", file);
  const output = path.join(root, "build/src/codecs", name);
  if (Math.max(modified(source), modified(import.meta.filename)) < modified(output)) continue;
  const content = fs.readFileSync(source);
  const module = string ? Buffer.from(string.exec(content.toString("latin1"))?.[1] ?? "", "base64") : content;
  if (createHash("sha256").update(module).digest("hex") !== sha256) {
    console.error(`build-wasm: ${file} is not the one that src/codecs knows: run npm ci --ignore-scripts`);
    process.exit(1);
  }
  fs.mkdirSync(path.dirname(output), { recursive: true });
  fs.writeFileSync(output, module);
}
