/** Goes through the inode tables: who is in use, which blocks and names that makes, and whether each says so itself. */
import { hasFeature, type KnownFeature } from "../feature-table.js";
import { INODE, inode as layout } from "../layout.js";
import type { Image } from "../reader/image.js";
import { type BareInode, readBareInode } from "../reader/inodes.js";
import { AttributeClaims, isXattrValue } from "./attribute-claims.js";
import { GroupBits, GroupCounts } from "./bits.js";
import type { BlockClaims } from "./block-claims.js";
import type { GroupFacts } from "./group-layout.js";
import { NameCounts } from "./name-counts.js";
import type { Report } from "./report.js";

/** Bytes of inode tables that are looked through at once. */
const READ_SIZE = 2 ** 16;
/** A list of blocks that cannot be used, which mke2fs -c makes. */
const BAD_BLOCKS = 1;
const FLAG = { encrypted: 0x800, imagic: 0x2000, casefold: 0x40000000 } as const;
/** Symbolic links of up to so many bytes have no blocks. */
const SHORT_TARGET = 60;

export class InodeScan {
  readonly #image: Image;
  readonly #claims: BlockClaims;
  readonly #report: Report;
  readonly #orphans: ReadonlySet<number>;
  readonly #attributes: AttributeClaims;
  readonly #names: NameCounts;
  /** Inodes in use: number - 1. */
  readonly #used: GroupBits;
  readonly #links: GroupCounts;
  readonly #directories = new Map<number, number>();
  readonly #isDirectory: GroupBits;
  readonly #isValue: GroupBits;

  constructor(image: Image, claims: BlockClaims, report: Report, orphans: ReadonlySet<number>) {
    const { inodesPerGroup } = image.superblock;
    this.#image = image;
    this.#claims = claims;
    this.#report = report;
    this.#orphans = orphans;
    this.#attributes = new AttributeClaims(image, claims, report);
    this.#names = new NameCounts(image, report);
    this.#used = new GroupBits(inodesPerGroup);
    this.#links = new GroupCounts(inodesPerGroup);
    this.#isDirectory = new GroupBits(inodesPerGroup);
    this.#isValue = new GroupBits(inodesPerGroup);
    // Those with a meaning of their own count as used in any case.
    this.#used.add(0, image.superblock.firstInode - 1);
  }

  /** The inode bitmap that a group should have. */
  ofGroup(group: number): Uint8Array | undefined {
    return this.#used.ofGroup(group);
  }

  /** Directories whose inodes are in `group`. */
  directoriesOf(group: number): number {
    return this.#directories.get(group) ?? 0;
  }

  /** Looks at all inodes of a group, a piece of the table at a time: whoever goes through it can tell findings meanwhile. */
  async *group(group: number, facts: GroupFacts): AsyncGenerator<void> {
    const { inodesPerGroup, inodeSize, blockSize } = this.#image.superblock;
    const count = facts.inodeBitmapUnset ? 0 : inodesPerGroup - Math.min(inodesPerGroup, facts.unusedInodes);
    const perRead = Math.floor(READ_SIZE / inodeSize);
    for (let first = 0; first < count; first += perRead) {
      const here = Math.min(perRead, count - first);
      const bytes = await this.#image.read(facts.inodeTable * blockSize + first * inodeSize, here * inodeSize);
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
      for (let i = 0; i < here; i++) {
        await this.#look(group, group * inodesPerGroup + first + i + 1, view, i * inodeSize);
        if (this.#claims.isHopeless) return;
      }
      yield;
    }
  }

  /** `number` is at byte `at` of `view`, where the fewest have to be looked at any further. */
  async #look(group: number, number: number, view: DataView, at: number): Promise<void> {
    const { offsets } = layout;
    const links = view.getUint16(at + offsets.links, true);
    const deleted = view.getUint32(at + offsets.dtime, true);
    const mode = view.getUint16(at + offsets.mode, true);
    const isOrphan = this.#orphans.has(number);
    if (number === BAD_BLOCKS) {
      // They belong to a list that is none of a file's.
      if (view.getUint32(at + offsets.blocksLow, true) !== 0) this.#report.blocksKnown = false;
      return;
    }
    const place = async (field: keyof typeof offsets) => (await this.#image.inodeOffset(number)) + offsets[field];
    if (links === 0 && !isOrphan) {
      if (mode === 0 || deleted !== 0 || number < this.#image.superblock.firstInode) return;
      this.#report.error(`inode ${number} has no names, and was not deleted`, await place("dtime"));
      return;
    }
    if (deleted !== 0 && !isOrphan) {
      this.#report.error(`inode ${number} is in use, and has a time of deletion`, await place("dtime"));
    }
    this.#used.add(number - 1);
    this.#links.add(number - 1, links);
    const inode = await this.#report.try(() => readBareInode(this.#image, number, { any: true }));
    if (inode === undefined) {
      this.#report.blocksKnown = false;
      this.#report.namesKnown = false;
      return;
    }
    const flags = view.getUint32(at + offsets.flags, true);
    const wrong = wrongFlag(this.#image, inode, flags);
    if (wrong !== undefined) this.#report.error(`inode ${number} has the flag ${wrong}`, inode.at + offsets.flags);
    if (isXattrValue(this.#image, inode)) this.#isValue.add(number - 1);
    const alone = await this.#claim(inode);
    if (inode.type !== "directory") return;
    this.#directories.set(group, this.directoriesOf(group) + 1);
    this.#isDirectory.add(number - 1);
    // Names in encrypted directories are no text; so what they lead to is not counted.
    const isText = (flags & FLAG.encrypted) === 0;
    const read = alone && isText && (await this.#report.try(() => this.#names.add(inode).then(() => true)));
    if (!read) this.#report.namesKnown = false;
  }

  /** Claims the blocks of an inode and compares their number. Returns whether they are its own. */
  async #claim(inode: BareInode): Promise<boolean> {
    const claimed = await this.#report.try(() => this.#claimAll(inode));
    if (claimed === undefined) {
      this.#report.blocksKnown = false;
      return false;
    }
    const sectors = claimed.blocks * (this.#image.superblock.blockSize / 512);
    if (sectors !== inode.sectors) {
      this.#report.error(
        `inode ${inode.number} says that it has ${inode.sectors} sectors, and has ${sectors}`,
        inode.at + layout.offsets.blocksLow,
      );
    }
    return claimed.alone;
  }

  /** As `BlockClaims.claimFile`, with what the attributes take. */
  async #claimAll(inode: BareInode): Promise<{ blocks: number; alone: boolean } | undefined> {
    const blocks = await this.#attributes.claim(inode);
    if (!hasBlocks(inode)) return { blocks, alone: true };
    const isResize = inode.number === INODE.resize;
    const own = await (isResize ? this.#claims.claimResizeInode(inode) : this.#claims.claimFile(inode));
    return own && { blocks: blocks + own.blocks, alone: own.alone };
  }

  /** Compares names and references with what inodes say, group by group, once all were seen. */
  async *compare(): AsyncGenerator<void> {
    if (this.#report.blocksKnown) this.#attributes.compare();
    if (!this.#report.namesKnown) return;
    this.#names.checkReach();
    const { inodes, firstInode, fields, inodesPerGroup } = this.#image.superblock;
    const { orphanFileInode, userQuotaInode, groupQuotaInode, projectQuotaInode } = fields;
    const nameless = new Set([orphanFileInode, userQuotaInode, groupQuotaInode, projectQuotaInode]);
    for (let number: number = INODE.root; number <= inodes; number++) {
      if ((number - 1) % inodesPerGroup === 0) yield;
      if ((number > INODE.root && number < firstInode) || nameless.has(number)) continue;
      const found = this.#names.of(number);
      const used = this.#used.has(number - 1);
      if ((!used && found === 0) || this.#isValue.has(number - 1)) continue;
      const links = this.#links.get(number - 1);
      const at = (await this.#image.inodeOffset(number)) + layout.offsets.links;
      const expected = this.#names.expected(number, this.#isDirectory.has(number - 1));
      if (!used) this.#report.error(`inode ${number} has ${found} names, and is not in use`, at);
      else if (found === 0 || (found === 1 && this.#isDirectory.has(number - 1) && number !== INODE.root)) {
        if (!this.#orphans.has(number)) this.#report.error(`inode ${number} is in use, and no name leads to it`, at);
      } else if (links !== expected) {
        this.#report.error(`inode ${number} counts ${links} names, and has ${expected}`, at);
      }
    }
  }
}

/** The name of a flag that this inode may not have. */
function wrongFlag({ superblock }: Image, { type, stored }: BareInode, flags: number): string | undefined {
  const has = (name: KnownFeature) => hasFeature(superblock.fields, name);
  const isDirectory = type === "directory";
  if (stored.isIndexed && !(isDirectory && has("dir_index"))) return "index";
  if ((flags & FLAG.casefold) !== 0 && !(isDirectory && has("casefold"))) return "casefold";
  if ((flags & FLAG.imagic) !== 0 && !has("imagic_inodes")) return "imagic";
  if (stored.hasInlineData && !has("inline_data")) return "inline_data";
  return undefined;
}

/** Whether i_block leads to blocks. */
function hasBlocks({ type, size, stored }: BareInode): boolean {
  if (stored.hasInlineData) return false;
  if (type === "symlink") return stored.hasExtents || size >= SHORT_TARGET;
  return type === "file" || type === "directory";
}
