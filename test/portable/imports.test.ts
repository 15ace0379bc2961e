/** What may run in a browser imports nothing that only Node has: the modules of the package's exports, one by one. */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { test } from "node:test";

const PACKAGE = path.resolve(import.meta.dirname, "../../..");
const { exports } = JSON.parse(fs.readFileSync(path.join(PACKAGE, "package.json"), "utf8"));

/** All exports but these two. */
const NEED_NODE = [".", "./host"];

const IMPORT = /^(?:import|export)\b[^;"]*?\bfrom "([^"]+)"|^import "([^"]+)"|\bimport\("([^"]+)"\)/gm;
/** Globals of Node that its modules use without importing them. */
const NODE_GLOBAL = /(?<![.\w])(?:(?:Buffer|process|global)\.|setImmediate\(|require\(|__dirname)/;

const codeOf = (file: string) => fs.readFileSync(file, "utf8").replace(/\/\*.*?\*\/|\/\/[^\n]*/gs, "");

/** Every module that is reached from `entry`, with what leads out of the package. */
function reach(entry: string): { modules: Set<string>; outside: string[] } {
  const modules = new Set<string>([entry]);
  const outside: string[] = [];
  for (const file of modules) {
    for (const [, from, alone, later] of codeOf(file).matchAll(IMPORT)) {
      const specifier = (from ?? alone ?? later)!;
      if (specifier.startsWith(".")) modules.add(path.resolve(path.dirname(file), specifier));
      else outside.push(`${path.relative(PACKAGE, file)} imports ${specifier}`);
    }
  }
  return { modules, outside };
}

for (const [name, target] of Object.entries<{ default: string }>(exports)) {
  if (NEED_NODE.includes(name) || name === "./package.json") continue;
  test(`imgbuild${name.slice(1)} needs nothing of Node`, () => {
    const { modules, outside } = reach(path.join(PACKAGE, target.default));
    assert.ok(modules.size > 5);
    assert.deepEqual(outside, []);
    for (const file of modules) assert.doesNotMatch(codeOf(file), NODE_GLOBAL, path.relative(PACKAGE, file));
  });
}

test("what needs Node is found to do so", () => {
  for (const name of NEED_NODE) {
    const { modules, outside } = reach(path.join(PACKAGE, exports[name].default));
    assert.ok(outside.some((text) => text.endsWith(" imports node:fs")));
    assert.ok([...modules].some((file) => NODE_GLOBAL.test(codeOf(file))));
  }
});
