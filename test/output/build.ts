/** Small builds for the tests of outputs. */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { MemoryDevice, RecordingDevice } from "../../src/bytes/device.js";
import type { Manifest } from "../../src/output/manifest.js";
import type { AppendedFile } from "../../src/output/output.js";
import { imgbuild, SMALL } from "../support/cli.js";

/** Builds colibri-imx6 from `root` into `folder`/out/colibri-imx6, with a bootloader that it makes. */
export function build(folder: string, root: string, ...args: string[]): Manifest {
  const loader = path.join(folder, "loader");
  fs.mkdirSync(loader, { recursive: true });
  for (const name of ["SPL", "u-boot.img"]) fs.writeFileSync(path.join(loader, name), name.repeat(5000));
  const result = imgbuild([...SMALL, root, "--bootloader", loader, "--json", ...args], { cwd: folder });
  assert.equal(result.status, 0, result.stderr);
  return JSON.parse(result.stdout);
}

/** Every file in a folder and in those in it. */
export function files(folder: string): string[] {
  return fs
    .readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => !entry.isDirectory())
    .map((entry) => path.relative(folder, path.join(entry.parentPath, entry.name)))
    .sort();
}

/** An image of `size` bytes with data and zeros that must be there: [start, end, byte]. */
export async function recorded(size: number, parts: readonly (readonly [number, number, number])[]) {
  const device = new RecordingDevice(new MemoryDevice(size));
  for (const [start, end, byte] of parts) {
    if (byte === 0) await device.zero(start, end - start);
    else await device.write(start, Buffer.alloc(end - start, byte));
  }
  return device;
}

/** A file in memory that outputs append to. */
export class Appended implements AppendedFile {
  bytes = new Uint8Array(0);

  get size(): number {
    return this.bytes.length;
  }

  async write(bytes: Uint8Array): Promise<void> {
    this.bytes = new Uint8Array(Buffer.concat([this.bytes, bytes]));
  }

  async rewrite(at: number, bytes: Uint8Array): Promise<void> {
    this.bytes.set(bytes, at);
  }
}
