/** ext2, ext3 and ext4 as file systems that an image may hold. */
import { type ByteString, display } from "../bytes/bytestring.js";
import type { ReadableDevice } from "../bytes/device.js";
import type { Finding } from "../bytes/finding.js";
import { type Ext4Entry, type Ext4Inode, type Ext4Reader, openExt4 } from "../ext4/index.js";
import type { FileSystem, FileSystemFacts } from "./file-system.js";
import { fileSystemOf, isoTime } from "./format-reader.js";

export async function openExt4FileSystem(device: ReadableDevice): Promise<FileSystem> {
  const reader = await openExt4(device);
  return fileSystemOf<Ext4Inode, Ext4Entry>(reader, async () => ext4Facts(reader));
}

function ext4Facts({ facts }: Ext4Reader): FileSystemFacts {
  const { state, recovery, features, blockSize } = facts;
  const notes: Finding[] = [];
  const note = (message: string) => notes.push({ severity: "warning", message });
  if (recovery !== undefined) {
    const quick = recovery.fastCommits ? ", and the fast commits behind them," : "";
    note(
      `it was not unmounted: ${recovery.transactions} transactions of its journal (${recovery.blocks} blocks)${quick} are applied when it is read`,
    );
  }
  if (recovery?.brokenFastCommits) {
    note("the fast commits of its journal are broken from the first on: Linux does not mount it before e2fsck has run");
  }
  if (state === "dirty") note("it was not unmounted, and has no journal: what was being written may be wrong");
  if (state === "errors") notes.push({ severity: "error", message: "the kernel has met damage in it: run e2fsck" });
  const has = (name: string) => features.includes(name);
  return {
    type: has("extent") || has("64bit") || has("metadata_csum") ? "ext4" : has("has_journal") ? "ext3" : "ext2",
    label: facts.label === "" ? undefined : display(facts.label),
    uuid: facts.uuid,
    size: facts.size,
    used: (facts.blocks - facts.freeBlocks) * blockSize,
    free: facts.freeBlocks * blockSize,
    details: {
      "block size": blockSize,
      inodes: facts.inodes,
      "free inodes": facts.freeInodes,
      "inode size": facts.inodeSize,
      reserved: facts.reservedBlocks * blockSize,
      features,
      state,
      ...(facts.lastMounted !== "" && { "last mounted": display(facts.lastMounted as ByteString) }),
      made: isoTime(facts.makeTime),
      written: isoTime(facts.writeTime),
    },
    notes,
  };
}
