/** Editing a flattened device tree, checked with the device tree compiler's own tools. */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { type TestContext, test } from "node:test";
import { enableNode } from "../../src/qemu/devicetree.js";
import { lacks, run, temporaryFolder } from "../support/tools.js";

const SOURCE = path.resolve(import.meta.dirname, "../../../fixtures/devicetree/board.dts");

function compile(t: TestContext): { tree: Uint8Array; decompile: (tree: Uint8Array) => string } {
  const folder = temporaryFolder(t);
  run("dtc", ["-q", "-O", "dtb", "-o", `${folder}/board.dtb`, SOURCE]);
  return {
    tree: fs.readFileSync(`${folder}/board.dtb`),
    decompile(tree) {
      fs.writeFileSync(`${folder}/changed.dtb`, tree);
      return run("dtc", ["-q", "-I", "dtb", "-O", "dts", `${folder}/changed.dtb`]);
    },
  };
}

/** dtc's text of the tree, with `status` of the node whose line begins with `name` set to "okay". */
function withOkay(dts: string, name: string): string {
  const begin = dts.indexOf(`${name} {`);
  const status = dts.indexOf("status = ", begin);
  assert.ok(begin > 0 && status > 0);
  return dts.slice(0, status) + dts.slice(status).replace(/"\w+"/, '"okay"');
}

for (const [how, node] of [
  ["path", "/soc/bus@2100000/mmc@219c000"],
  ["alias", "mmc3"],
  ["unit address", "@219c000"],
] as const) {
  test(`a disabled node is enabled by its ${how}, and nothing else changes`, (t) => {
    if (lacks(t, "dtc")) return;
    const { tree, decompile } = compile(t);
    const before = Buffer.from(tree);
    const changed = enableNode(tree, node);
    assert.equal(decompile(changed), withOkay(decompile(tree), "mmc@219c000"));
    assert.equal(changed.length, tree.length);
    assert.deepEqual(tree, before, "the original is left alone");
  });
}

test("a unit address is a number: leading zeros of older kernels' names do not matter", (t) => {
  if (lacks(t, "dtc")) return;
  const { tree, decompile } = compile(t);
  assert.equal(decompile(enableNode(tree, "@219d000")), withOkay(decompile(tree), "usdhc@0219d000"));
});

test("a node that is enabled already stays as it is", (t) => {
  if (lacks(t, "dtc")) return;
  const { tree } = compile(t);
  for (const node of ["mmc0", "@2194000", "@2198000"]) assert.deepEqual(Buffer.from(enableNode(tree, node)), tree);
});

test("a node that is not there is named", (t) => {
  if (lacks(t, "dtc")) return;
  const { tree } = compile(t);
  for (const node of ["mmc7", "/soc/mmc", "@5000"]) {
    assert.throws(() => enableNode(tree, node), { code: "source-invalid", message: new RegExp(`no node ${node}$`) });
  }
});

test("what is not a whole device tree is refused", (t) => {
  assert.throws(() => enableNode(new TextEncoder().encode("MZ"), "mmc0"), { code: "source-invalid" });
  assert.throws(() => enableNode(new Uint8Array(1000), "mmc0"), { code: "source-invalid", message: /begins with 0x0/ });
  if (lacks(t, "dtc")) return;
  const { tree } = compile(t);
  for (let length = 0; length < tree.length; length += 37) {
    assert.throws(() => enableNode(tree.subarray(0, length), "/none"), { code: "source-invalid" }, `cut at ${length}`);
  }
});
