/** Inodes: the basic form where it can hold everything, the extended form where it cannot. */
import { toBytes } from "../bytes/bytestring.js";
import { encodeDeviceNumber } from "../tree/device-number.js";
import type { DeviceNode, Directory, Node, RegularFile, SpecialNode, Symlink } from "../tree/node.js";
import type { IdTable } from "./ids.js";
import * as layout from "./layout.js";
import { type MetadataWriter, reference } from "./metadata.js";
import { type Inode, type Plan, ROOT } from "./plan.js";
import type { StoredFiles } from "./stored-files.js";
import type { XattrWriter } from "./xattrs.js";

/** Block sizes of a file are encoded this many at a time. */
const BLOCKS_AT_ONCE = 2048;

/** Every field that an inode of some type has. One object serves all inodes: there may be millions. */
const newValues = () => ({
  type: 0,
  mode: 0,
  uid: 0,
  gid: 0,
  mtime: 0,
  number: 0,
  links: 0,
  startBlock: 0,
  offset: 0,
  size: 0,
  parent: 0,
  indexes: 0,
  fragment: 0,
  sparse: 0,
  targetLength: 0,
  device: 0,
  xattrs: 0,
});

/** A structure in layout.ts whose fields are all among these values. */
interface InodeForm {
  readonly size: number;
  write(into: Uint8Array, at: number, values: ReturnType<typeof newValues>): void;
}

export class InodeWriter {
  /** Inodes whose mtime was before 1970 or after 2106 and became the nearest that can be stored. */
  clampedTimes = 0;
  /** Where the inodes go. */
  readonly table: MetadataWriter;
  readonly #plan: Plan;
  readonly #files: StoredFiles;
  readonly #ids: IdTable;
  /** Undefined when extended attributes are not stored. */
  readonly #xattrs: XattrWriter | undefined;
  readonly #values = newValues();
  readonly #bytes = new Uint8Array(layout.extendedFileInode.size);

  constructor(table: MetadataWriter, plan: Plan, files: StoredFiles, ids: IdTable, xattrs: XattrWriter | undefined) {
    this.table = table;
    this.#plan = plan;
    this.#files = files;
    this.#ids = ids;
    this.#xattrs = xattrs;
  }

  /** Writes an inode that checkTree found nothing wrong with, and notes where. A directory's listing must have been written before, and a file's data stored. */
  write(inode: Inode): void {
    this.#plan.references[inode] = reference(this.table.position);
    const node = this.#plan.nodes[inode]!;
    const xattrs = this.#xattrs?.add(node.xattrs) ?? layout.NO_XATTRS;
    switch (node.type) {
      case "directory":
        this.#writeDirectory(inode, node, xattrs);
        break;
      case "file":
        this.#writeFile(inode, node, xattrs);
        break;
      case "symlink":
        this.#writeSymlink(inode, node, xattrs);
        break;
      case "block":
      case "character":
        this.#writeDevice(inode, node, xattrs);
        break;
      case "fifo":
      case "socket":
        this.#writeSpecial(inode, node, xattrs);
    }
  }

  /** Sets what all inodes have. */
  #begin(inode: Inode, { type: kind, mode, uid, gid, mtime }: Node, extended: boolean): void {
    const type = layout.INODE_TYPES[kind];
    const time = layout.storedTime(mtime.seconds);
    if (time !== mtime.seconds) this.clampedTimes++;
    const values = this.#values;
    values.type = extended ? type + layout.EXTENDED : type;
    values.mode = mode;
    values.uid = this.#ids.indexOf(uid);
    values.gid = this.#ids.indexOf(gid);
    values.mtime = time;
    values.number = this.#plan.numbers[inode]!;
    values.links = this.#plan.links[inode]!;
  }

  /** Writes the fixed part of an inode from the values that were set. */
  #end(form: InodeForm): void {
    form.write(this.#bytes, 0, this.#values);
    this.table.write(this.#bytes.subarray(0, form.size));
  }

  #writeDirectory(inode: Inode, node: Directory, xattrs: number): void {
    const { parent, listing } = this.#plan.directories.get(inode)!;
    const { position, size, index } = listing!;
    const extended = xattrs !== layout.NO_XATTRS || index.length > 0 || size > 0xffff;
    this.#begin(inode, node, extended);
    const values = this.#values;
    values.startBlock = position.block;
    values.offset = position.offset;
    values.size = size;
    // The root's parent has a number that no inode has, as with mksquashfs.
    values.parent = this.#plan.numbers[parent?.inode ?? ROOT]! + (parent === undefined ? 1 : 0);
    values.indexes = index.length;
    values.xattrs = xattrs;
    this.#end(extended ? layout.extendedDirectoryInode : layout.directoryInode);
    for (const { listingOffset, startBlock, name } of index) {
      this.table.write(layout.directoryIndex.encode({ listingOffset, startBlock, nameLength: name.length - 1 }));
      this.table.write(toBytes(name));
    }
  }

  #writeFile(inode: Inode, node: RegularFile, xattrs: number): void {
    const { size } = node.content;
    const data = this.#files.dataOf(inode);
    const start = this.#files.starts[data]!;
    const blocks = this.#files.blockSizes(data, size);
    const sparse = this.#files.sparseBytes(data, size);
    const extended =
      xattrs !== layout.NO_XATTRS || this.#plan.links[inode]! > 1 || size >= 2 ** 32 || start >= 2 ** 32 || sparse > 0;
    this.#begin(inode, node, extended);
    const values = this.#values;
    values.startBlock = start;
    values.fragment = this.#files.fragments[data]!;
    values.offset = this.#files.offsets[data]!;
    values.size = size;
    // Linux computes st_blocks from it. A file that is a hole throughout keeps one byte, as with mksquashfs: programs
    // take a file with a size but without blocks for one whose data is not on the disk yet.
    values.sparse = Math.min(sparse, Math.max(0, size - 1));
    values.xattrs = xattrs;
    this.#end(extended ? layout.extendedFileInode : layout.fileInode);
    this.#writeBlockSizes(blocks);
  }

  #writeBlockSizes(blocks: Uint32Array): void {
    for (let first = 0; first < blocks.length; first += BLOCKS_AT_ONCE) {
      const sizes = blocks.subarray(first, first + BLOCKS_AT_ONCE);
      const bytes = new Uint8Array(4 * sizes.length);
      const view = new DataView(bytes.buffer);
      for (let i = 0; i < sizes.length; i++) view.setUint32(4 * i, sizes[i]!, true);
      this.table.write(bytes);
    }
  }

  #writeSymlink(inode: Inode, node: Symlink, xattrs: number): void {
    const extended = xattrs !== layout.NO_XATTRS;
    this.#begin(inode, node, extended);
    this.#values.targetLength = node.target.length;
    this.#end(layout.symlinkInode);
    this.table.write(toBytes(node.target));
    if (!extended) return;
    const tail = new Uint8Array(4);
    new DataView(tail.buffer).setUint32(0, xattrs, true);
    this.table.write(tail);
  }

  #writeDevice(inode: Inode, node: DeviceNode, xattrs: number): void {
    const extended = xattrs !== layout.NO_XATTRS;
    this.#begin(inode, node, extended);
    this.#values.device = encodeDeviceNumber(node);
    this.#values.xattrs = xattrs;
    this.#end(extended ? layout.extendedDeviceInode : layout.deviceInode);
  }

  #writeSpecial(inode: Inode, node: SpecialNode, xattrs: number): void {
    const extended = xattrs !== layout.NO_XATTRS;
    this.#begin(inode, node, extended);
    this.#values.xattrs = xattrs;
    this.#end(extended ? layout.extendedIpcInode : layout.ipcInode);
  }
}
