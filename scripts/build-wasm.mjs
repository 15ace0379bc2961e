// Compiles every encoder of src/codecs that is written in AssemblyScript and older than its sources to build/src/codecs.
import { spawnSync } from "node:child_process";
import * as fs from "node:fs";
import * as path from "node:path";

const root = path.resolve(import.meta.dirname, "..");
const codecs = path.join(root, "src/codecs");
const compiler = path.join(root, "node_modules/assemblyscript/bin/asc.js");

const modified = (file) => fs.statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0;

for (const name of fs.readdirSync(codecs)) {
  const folder = path.join(codecs, name);
  const config = path.join(folder, "asconfig.json");
  if (!fs.existsSync(config)) continue;
  const output = path.join(root, "build/src/codecs", `${name}.wasm`);
  const inputs = [...fs.readdirSync(folder).map((file) => path.join(folder, file)), compiler];
  if (inputs.every((input) => modified(input) < modified(output))) continue;
  const { status } = spawnSync(process.execPath, [compiler, "--config", config], { cwd: root, stdio: "inherit" });
  if (status !== 0) process.exit(1);
}
