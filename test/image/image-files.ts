/** Images that other programs make, for what looks into images. */
import * as fs from "node:fs";
import * as path from "node:path";
import { FileReader } from "../../src/bytes/file-device.js";
import { type OpenedImage, openImage } from "../../src/image/open-image.js";
import { type Verification, verifyImage } from "../../src/image/verify.js";
import { run } from "../support/tools.js";

export const MiB = 2 ** 20;

/** A folder with files of some lengths, of text and of noise, a hard link, a symlink, and attributes. */
export function makeSource(folder: string, options: { attributes?: boolean } = {}): string {
  const source = path.join(folder, "source");
  fs.mkdirSync(path.join(source, "etc/deep/er"), { recursive: true });
  fs.mkdirSync(path.join(source, "usr"));
  for (let i = 0; i < 60; i++) fs.writeFileSync(path.join(source, `etc/file${i}`), `line ${i}\n`.repeat(50 * i));
  const text = Array.from({ length: 40_000 }, (_, i) => `${i} ${Math.imul(i, 2_654_435_761) >>> 20}`).join("\n");
  fs.writeFileSync(path.join(source, "usr/large"), text);
  fs.writeFileSync(path.join(source, "usr/copy"), text);
  fs.linkSync(path.join(source, "usr/large"), path.join(source, "usr/link"));
  fs.writeFileSync(path.join(source, "etc/deep/er/end"), "the end\n");
  const fd = fs.openSync(path.join(source, "usr/sparse"), "w");
  fs.writeSync(fd, "behind a hole", 3 * MiB);
  fs.closeSync(fd);
  if (options.attributes)
    run("setfattr", ["-n", "user.comment", "-v", "x".repeat(300), path.join(source, "usr/large")]);
  return source;
}

/** A FAT with the files of `source`, whose links it cannot have: they are files. */
export function makeFat(image: string, source: string, size: number, type: 12 | 16 | 32): void {
  fs.writeFileSync(image, "");
  fs.truncateSync(image, size);
  run("mkfs.fat", ["-F", `${type}`, "-n", "BOOT", image]);
  run("mcopy", ["-i", image, "-s", ...fs.readdirSync(source).map((name) => path.join(source, name)), "::"]);
}

/** Copies the file `part` into `disk` at byte `at`. */
export function place(disk: string, part: string, at: number): void {
  const fd = fs.openSync(disk, "r+");
  fs.writeSync(fd, fs.readFileSync(part), 0, undefined, at);
  fs.closeSync(fd);
}

/** Opens an image for the time of `use`. */
export async function opened<T>(file: string, use: (image: OpenedImage) => Promise<T>): Promise<T> {
  const device = new FileReader(file);
  try {
    return await use(await openImage(device));
  } finally {
    device.close();
  }
}

export const verifyFile = (file: string): Promise<Verification> => opened(file, (image) => verifyImage(image));

/** Flips one bit of a file. */
export function flip(file: string, at: number, bit = 0): void {
  const fd = fs.openSync(file, "r+");
  const byte = Buffer.alloc(1);
  fs.readSync(fd, byte, 0, 1, at);
  byte[0]! ^= 1 << bit;
  fs.writeSync(fd, byte, 0, 1, at);
  fs.closeSync(fd);
}
