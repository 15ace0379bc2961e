// Compiles every encoder of src/codecs that is written in AssemblyScript and older than its sources to build/src/codecs.
import { spawnSync } from "node:child_process";
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
