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
import { run } from "../support/tools.js";

/** The lines between the marks of `show`, in fixtures/powercut. */
export function shownIn(printed: string): string {
  const found = /^<shown\n([\s\S]*)^shown>\n/m.exec(printed);
  assert.ok(found, printed);
  return found[1]!;
}

/**
 * Fails unless UserData, a copy of which `content` is, is in order once its journal is replayed: e2fsck has nothing more to
 * mend, the project's reader finds the same, and every overlay's state is whole, names layers that are there, and is read alike by
 * debugfs after the replay.
 */
export async function checkUserdata(content: Buffer): Promise<void> {
  const states = await checkReader(content);
  const file = path.join(fs.mkdtempSync(path.join(os.tmpdir(), "imgbuild-userdata-")), "ext4");
  try {
    fs.writeFileSync(file, content);
    const { status, stdout } = spawnSync("e2fsck", ["-p", file], { encoding: "utf8" });
    // The counts in the superblock are brought up to date with every replay; 1 says so.
    assert.ok(status === 0 || status === 1, `e2fsck -p ended with ${status}: ${stdout}`);
    assertClean(file);
    for (const [name, state] of states) {
      assert.equal(run("debugfs", ["-R", `cat /${name}`, file]), state, `${name}, read by debugfs`);
    }
  } finally {
    fs.rmSync(path.dirname(file), { recursive: true });
  }
}

/**
 * Fails unless a boot has left nothing half-made on UserData: what was asked for is gone, and so is what no state names, but for
 * what others may have put there. The head of src/overlay/state.sh says what may be beside a state. A state of the root before
 * counts as half-made: these boots are not on trial with the policy reset.
 */
export async function checkSettled(content: Buffer): Promise<void> {
  const reader = await openUserdata(content);
  const left = [...(await names(reader, ""))!].filter((name) => /^(?:request|factory-reset|import)|\+new$/.test(name));
  for (const name of (await names(reader, "overlay"))!) {
    // Somebody's own, which was in the way of a state.
    if (/\+lost\d+$/.test(name)) continue;
    if (name.includes("+")) left.push(name);
    const entries = (await names(reader, `overlay/${name}`))!;
    const state = entries.has("state") ? await textOf(reader, `overlay/${name}/state`) : "";
    const named = layersOf(state);
    for (const [, going] of state.matchAll(/^going (.*)$/gm)) for (const layer of going!.split(" ")) named.add(layer);
    const top = /^top upper(\S*) /m.exec(state)?.[1];
    const root = /^root (\S+)$/m.exec(state)?.[1];
    const known = ["state", "factory", "shadowing", `work${top}`, `pending${top}`, `manifest.${root}`];
    for (const entry of entries) if (!known.includes(entry) && !named.has(entry)) left.push(`${name}/${entry}`);
  }
  assert.deepEqual(left, []);
}

/** The folders that a state names as layers. */
const layersOf = (state: string): Set<string> =>
  new Set([...state.matchAll(/^(?:top|layer) (upper\S*) /gm)].map(([, layer]) => layer!));

/** Opens a copy of UserData with the project's reader. */
export function openUserdata(content: Buffer): Promise<Ext4Reader> {
  return openExt4({
    size: content.length,
    read: async (at, length) => Uint8Array.from(content.subarray(at, at + length)),
  });
}

/** The overlays' states, one after another. */
export async function stateTexts(content: Buffer): Promise<string> {
  return [...(await readStates(await openUserdata(content))).values()].join("");
}

/** The content of a file on UserData. */
export async function textOf(reader: Ext4Reader, name: string): Promise<string> {
  const file = await reader.lookup(fromText(name));
  assert.ok(file?.type === "file", `${name} is ${file?.type ?? "not there"}`);
  return Buffer.from(await readContent(await reader.content(file))).toString("latin1");
}

/** A state that was not cut short. */
const WHOLE = /^state (?:ready|pending|pending again)\n[\s\S]*\nend\n$/;

/** Returns the overlays' states, by the files that they are in. */
async function checkReader(content: Buffer): Promise<Map<string, string>> {
  const reader = await openUserdata(content);
  assert.notEqual(reader.facts.state, "errors");
  for await (const { severity, message } of reader.check()) assert.notEqual(severity, "error", message);
  const states = await readStates(reader);
  for (const [file, state] of states) {
    const folder = path.dirname(file);
    assert.match(state, WHOLE, folder);
    const entries = (await names(reader, folder))!;
    // With `resetting` in its place a reset is half-way that had to make room first: what it names may be gone, but for the factory's
    // layer, and the next boot has to complete it.
    const resetting = path.basename(file) === "resetting";
    for (const [, layer, rest] of state.matchAll(/^(?:top|layer) (upper\S*) (.*)$/gm)) {
      if (resetting && !rest!.endsWith(" factory")) continue;
      assert.ok(entries.has(layer!), `${folder} has no ${layer}, which its state names`);
    }
    // What a root that does not stay gives way to: nothing of it may be gone.
    if (entries.has("before")) {
      const before = await textOf(reader, `${folder}/before`);
      assert.match(before, WHOLE, `${folder}/before`);
      for (const layer of layersOf(before))
        assert.ok(entries.has(layer), `${folder} has no ${layer}, which was before`);
    }
    // A next root's files are compared with it.
    const manifest = `manifest.${/^root (\S+)$/m.exec(state)?.[1]}`;
    if (entries.has(manifest)) {
      const text = await textOf(reader, `${folder}/${manifest}`);
      assert.match(
        text,
        /^d \d+ \d+:\d+ - \.\n(?:[dfl] \d+ \d+:\d+ (?:-|[0-9a-f]{64}) .+\n)*$/,
        `${folder}/${manifest}`,
      );
    }
  }
  return states;
}

/** The overlays' states, by the files that they are in. */
async function readStates(reader: Ext4Reader): Promise<Map<string, string>> {
  const states = new Map<string, string>();
  for (const name of (await names(reader, "overlay")) ?? []) {
    if (name.includes("+")) continue;
    const folder = `overlay/${name}`;
    const file = `${folder}/${(await names(reader, folder))!.has("state") ? "state" : "resetting"}`;
    states.set(file, await textOf(reader, file));
  }
  return states;
}

async function names(reader: Ext4Reader, folder: string): Promise<Set<string> | undefined> {
  const directory = await reader.lookup(fromText(folder));
  if (directory?.type !== "directory") return undefined;
  const found = new Set<string>();
  for await (const { name } of reader.entries(directory)) found.add(name);
  return found;
}
