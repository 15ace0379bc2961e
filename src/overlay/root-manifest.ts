/** What the root has below an overlay, for the device to compare with: src/overlay/root-change.sh reads it there. */
import { createHash } from "node:crypto";
import type { ByteString } from "../bytes/bytestring.js";
import type { Content, Directory, Node } from "../tree/node.js";
import { walk } from "../tree/tree.js";

export interface RootManifest {
  /** One line a file, symlink and folder, as root-change.sh says. */
  readonly bytes: Uint8Array;
  /** 32 hexadecimal digits that follow from them. */
  readonly identity: string;
}

/** Names that the shell on the device could not read from a line as they are. The digits of the identity have them all the same. */
const UNREADABLE = /[\n\0]|^[ \t]|[ \t]$/;

/** As much of a file as is read at once, in bytes. */
const PIECE = 2 ** 20;

/** Describes `folder`, as ".", and all that it holds but `without`, paths relative to it. Reads every file once. */
export async function rootManifest(folder: Directory, without: readonly ByteString[] = []): Promise<RootManifest> {
  const lines: string[] = [];
  const identity = createHash("sha256");
  for (const { path, node } of walk({ root: folder })) {
    if (without.some((prefix) => path === prefix || path.startsWith(`${prefix}/`))) continue;
    const line = `${await description(node)} ${path === "" ? "." : path}`;
    identity.update(`${line}\0`, "latin1");
    if (!line.startsWith("-") && !UNREADABLE.test(path)) lines.push(`${line}\n`);
  }
  return { bytes: Buffer.from(lines.join(""), "latin1"), identity: identity.digest("hex").slice(0, 32) };
}

async function description(node: Node): Promise<string> {
  const owner = `${node.mode.toString(8)} ${node.uid}:${node.gid}`;
  switch (node.type) {
    case "directory":
      return `d ${owner} -`;
    case "file":
      return `f ${owner} ${await digest(node.content)}`;
    case "symlink":
      return `l ${symlinkMode} ${node.uid}:${node.gid} ${createHash("sha256").update(node.target, "latin1").digest("hex")}`;
    case "block":
    case "character":
      return `- ${owner} ${node.type} ${node.major},${node.minor}`;
    default:
      return `- ${owner} ${node.type}`;
  }
}

/** Linux shows this mode of every symlink, whatever a file system says. */
const symlinkMode = "777";

async function digest(content: Content): Promise<string> {
  const hash = createHash("sha256");
  const reader = await content.open();
  try {
    const piece = new Uint8Array(Math.min(PIECE, content.size));
    for (let at = 0; at < content.size; at += piece.length) {
      const part = piece.subarray(0, Math.min(piece.length, content.size - at));
      await reader.read(at, part);
      hash.update(part);
    }
  } finally {
    await reader.close();
  }
  return hash.digest("hex");
}
