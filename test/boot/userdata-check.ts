/** Whether UserData is as it may be after a power cut, seen from outside. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { fromText } from "../../src/bytes/bytestring.js";
import { type Ext4Reader, openExt4 } from "../../src/ext4/index.js";
import { readContent } from "../../src/tree/node.js";
import { assertClean } from "../ext4/support.js";

/** The lines between the marks of `show`, in fixtures/powercut. */
export function shownIn(printed: string): string {
  const found = /^<shown\n([\s\S]*)^shown>\n/m.exec(printed);
  assert.ok(found, printed);
  return found[1]!;
}

/**
 * Fails unless UserData, a copy of which `content` is, is in order once its journal is replayed: e2fsck has nothing more to
 * mend, the project's reader finds the same, and every overlay's state is whole and names layers that are there.
 */
export async function checkUserdata(content: Buffer): Promise<void> {
  await checkReader(content);
  const file = path.join(fs.mkdtempSync(path.join(os.tmpdir(), "imgbuild-userdata-")), "ext4");
  try {
    fs.writeFileSync(file, content);
    const { status, stdout } = spawnSync("e2fsck", ["-p", file], { encoding: "utf8" });
    // The counts in the superblock are brought up to date with every replay; 1 says so.
    assert.ok(status === 0 || status === 1, `e2fsck -p ended with ${status}: ${stdout}`);
    assertClean(file);
  } finally {
    fs.rmSync(path.dirname(file), { recursive: true });
  }
}

/** Opens a copy of UserData with the project's reader. */
export function openUserdata(content: Buffer): Promise<Ext4Reader> {
  return openExt4({
    size: content.length,
    read: async (at, length) => Uint8Array.from(content.subarray(at, at + length)),
  });
}

/** The content of a file on UserData. */
export async function textOf(reader: Ext4Reader, name: string): Promise<string> {
  const file = await reader.lookup(fromText(name));
  assert.ok(file?.type === "file", `${name} is ${file?.type ?? "not there"}`);
  return Buffer.from(await readContent(await reader.content(file))).toString("latin1");
}

async function checkReader(content: Buffer): Promise<void> {
  const reader = await openUserdata(content);
  assert.notEqual(reader.facts.state, "errors");
  for await (const { severity, message } of reader.check()) assert.notEqual(severity, "error", message);
  const overlays = await names(reader, "overlay");
  for (const name of overlays ?? []) {
    if (name.includes("+")) continue;
    const folder = `overlay/${name}`;
    const entries = (await names(reader, folder))!;
    const state = await textOf(reader, `${folder}/${entries.has("state") ? "state" : "resetting"}`);
    assert.match(state, /^state (?:ready|pending|pending again)\n[\s\S]*\nend\n$/, folder);
    for (const [, layer] of state.matchAll(/^(?:top|layer) (upper\S*) /gm)) {
      assert.ok(entries.has(layer!), `${folder} has no ${layer}, which its state names`);
    }
  }
}

async function names(reader: Ext4Reader, folder: string): Promise<Set<string> | undefined> {
  const directory = await reader.lookup(fromText(folder));
  if (directory?.type !== "directory") return undefined;
  const found = new Set<string>();
  for await (const { name } of reader.entries(directory)) found.add(name);
  return found;
}
