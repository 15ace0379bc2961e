/** Small kernel modules and root file systems for the tests of this folder. */
import { gzipSync } from "node:zlib";
import { fromText } from "../../src/bytes/bytestring.js";
import { contentOf, newDirectory, newFile, newMetadata } from "../../src/tree/node.js";
import { addNode, type Tree } from "../../src/tree/tree.js";
import { run } from "../support/tools.js";

export interface SampleModule {
  readonly depends?: readonly string[];
  readonly softdep?: string;
  readonly alias?: readonly string[];
}

/** A relocatable ELF file with nothing but a .modinfo section, written after the System V ABI. */
export function moduleFile(name: string, module: SampleModule, bits: 32 | 64 = 64): Buffer {
  const fields = [
    "license=GPL",
    ...(module.alias ?? []).map((alias) => `alias=${alias}`),
    ...(module.softdep ? [`softdep=${module.softdep}`] : []),
    `depends=${(module.depends ?? []).join(",")}`,
    `name=${name}`,
  ];
  const modinfo = Buffer.from(`${fields.join("\0")}\0`);
  const names = Buffer.from("\0.modinfo\0.shstrtab\0");
  const headerSize = bits === 64 ? 64 : 52;
  const sectionSize = bits === 64 ? 64 : 40;
  const namesAt = headerSize + modinfo.length;
  const tableAt = (namesAt + names.length + 7) & ~7;
  const file = Buffer.alloc(tableAt + 3 * sectionSize);
  file.set([0x7f, 0x45, 0x4c, 0x46, bits === 64 ? 2 : 1, 1, 1]);
  file.writeUInt16LE(1, 16); // ET_REL
  file.writeUInt16LE(bits === 64 ? 62 : 40, 18); // x86-64, ARM
  file.writeUInt32LE(1, 20);
  if (bits === 64) {
    file.writeBigUInt64LE(BigInt(tableAt), 40);
    file.writeUInt16LE(64, 52);
    file.writeUInt16LE(64, 58);
    file.writeUInt16LE(3, 60);
    file.writeUInt16LE(2, 62);
  } else {
    file.writeUInt32LE(tableAt, 32);
    file.writeUInt16LE(52, 40);
    file.writeUInt16LE(40, 46);
    file.writeUInt16LE(3, 48);
    file.writeUInt16LE(2, 50);
  }
  file.set(modinfo, headerSize);
  file.set(names, namesAt);
  const section = (index: number, nameAt: number, type: number, offset: number, size: number) => {
    const at = tableAt + index * sectionSize;
    file.writeUInt32LE(nameAt, at);
    file.writeUInt32LE(type, at + 4);
    if (bits === 64) {
      file.writeBigUInt64LE(BigInt(offset), at + 24);
      file.writeBigUInt64LE(BigInt(size), at + 32);
    } else {
      file.writeUInt32LE(offset, at + 16);
      file.writeUInt32LE(size, at + 20);
    }
  };
  section(1, 1, 1, headerSize, modinfo.length); // SHT_PROGBITS
  section(2, 10, 3, namesAt, names.length); // SHT_STRTAB
  return file;
}

export function compressed(bytes: Buffer, suffix: "" | ".gz" | ".xz" | ".zst"): Buffer {
  if (suffix === "") return bytes;
  if (suffix === ".gz") return gzipSync(bytes);
  const [command, args] = suffix === ".xz" ? ["xz", ["-c", "--check=crc32"]] : ["zstd", ["-q", "-c"]];
  return Buffer.from(run(command as string, args as string[], { input: bytes }), "latin1");
}

export interface SampleRoot {
  readonly release?: string;
  /** By file name below kernel/, without ".ko": "fs/ext4/ext4". */
  readonly modules?: Readonly<Record<string, SampleModule>>;
  /** Lines of modules.builtin: "kernel/fs/ext4/ext4.ko". Default: none, but the file is there. null: it is not. */
  readonly builtin?: readonly string[] | null;
  readonly suffix?: "" | ".gz" | ".xz" | ".zst";
  readonly bits?: 32 | 64;
}

/** A root file system as Debian lays it out since /usr was merged: /lib is a symlink. */
export function sampleTree(...roots: readonly SampleRoot[]): Tree {
  const tree: Tree = { root: newDirectory() };
  addNode(tree, fromText("lib"), { type: "symlink", ...newMetadata(0o777), target: fromText("usr/lib") });
  for (const { release = "6.1.0-test", modules = {}, builtin = [], suffix = "", bits = 64 } of roots) {
    const put = (name: string, bytes: Uint8Array) =>
      addNode(tree, fromText(`usr/lib/modules/${release}/${name}`), newFile(contentOf(bytes)));
    if (builtin) put("modules.builtin", Buffer.from(builtin.map((line) => `${line}\n`).join("")));
    for (const [name, module] of Object.entries(modules)) {
      const base = name.replace(/.*\//, "");
      put(`kernel/${name}.ko${suffix}`, compressed(moduleFile(base.replaceAll("-", "_"), module, bits), suffix));
    }
  }
  return tree;
}

/** Adds a file to a tree. */
export function putFile(tree: Tree, path: string, bytes: Uint8Array, mode = 0o644): void {
  addNode(tree, fromText(path), newFile(contentOf(bytes), { mode }));
}
