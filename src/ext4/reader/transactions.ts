/**
 * What the journal of a file system that was not unmounted has to add to it. Transactions are taken up to the first that is
 * incomplete or whose commit block has a wrong checksum, as fs/jbd2/recovery.c of Linux takes them.
 */
import { crc32c } from "../../bytes/checksum.js";
import * as layout from "../layout.js";
import { corrupt } from "./corrupt.js";
import { crc32BigEndian } from "./crc32-big-endian.js";
import type { Journal, JournalBlock } from "./journal.js";

/** A copy of a block of the file system. */
interface Copy {
  /** Where it belongs, in blocks. */
  readonly block: number;
  /** Which block of the journal it is. */
  readonly number: number;
  readonly escaped: boolean;
  /** As its tag has it. */
  readonly checksum: number;
  /** Of its transaction; and how many transactions were before that in this journal. */
  readonly sequence: number;
  readonly order: number;
}

/** Where the present bytes of a block are. */
export interface Redirect {
  /** In bytes. */
  readonly at: number;
  /** Whether they begin with the journal's magic number, in place of which zeros are stored. */
  readonly escaped: boolean;
}

export interface Replay {
  /** By block of the file system. */
  readonly redirects: ReadonlyMap<number, Redirect>;
  /** Transactions that are complete. */
  readonly transactions: number;
  /** The number that the next transaction would have. */
  readonly sequence: number;
}

const UUID_SIZE = 16;
const REVOKE_SIZES = { narrow: 4, wide: 8 } as const;

/**
 * Reads the journal of a file system, on a device of so many blocks. Those may be more than the superblock says that is not replayed yet:
 * a file system that was growing when the power failed has its new groups in the journal. Rejects with `image-corrupt` where the kernel would not mount the file system: when a block of
 * a transaction that was committed is damaged.
 */
export async function readTransactions(journal: Journal, deviceBlocks: number): Promise<Replay> {
  const scan = new Scan(journal);
  await scan.run();
  return scan.replay(deviceBlocks);
}

class Scan {
  readonly #journal: Journal;
  /** Of complete transactions. */
  readonly #copies: Copy[] = [];
  /** The order of the last transaction that revoked a block. */
  readonly #revoked = new Map<number, number>();
  /** The transaction that is read. */
  #pending: { copies: Copy[]; revoked: number[]; damagedAt: number | undefined; sum: number };
  #order = 0;
  #sequence: number;
  #position: number;
  /** Blocks that may still follow: a ring has no end of its own. */
  #left: number;
  #lastCommit = 0;

  constructor(journal: Journal) {
    this.#journal = journal;
    const { start, sequence, first, end } = journal.facts;
    this.#position = start;
    this.#sequence = sequence;
    this.#left = end - first;
    this.#pending = this.#nothing();
  }

  /** Goes through the transactions. */
  async run(): Promise<void> {
    while (this.#left > 0) {
      const block = await this.#next();
      const { magic, type, sequence } = layout.journalHeader.read(block.bytes);
      if (magic !== layout.JOURNAL_MAGIC || sequence !== this.#sequence) return;
      if (type === layout.JOURNAL_BLOCK.descriptor) await this.#descriptor(block);
      else if (type === layout.JOURNAL_BLOCK.revoke) this.#revoke(block);
      else if (type !== layout.JOURNAL_BLOCK.commit || !this.#commit(block)) return;
    }
  }

  /** Where blocks are, once all transactions were read. Checks the blocks' own checksums. */
  async replay(deviceBlocks: number): Promise<Replay> {
    const redirects = new Map<number, Redirect>();
    for (const { block, number, escaped, checksum, sequence, order } of this.#copies) {
      if (order <= (this.#revoked.get(block) ?? -1)) continue;
      const { bytes, at } = await this.#journal.block(number);
      // Block 0 too, which has the superblock where blocks are larger than 1 KiB.
      if (block >= deviceBlocks) {
        throw corrupt(at, `the journal has a copy of block ${block}, which is beyond the device's end`);
      }
      if (!this.#copyHolds(bytes, sequence, checksum)) {
        throw corrupt(at, `the journal's copy of block ${block} has a wrong checksum`);
      }
      redirects.set(block, { at, escaped });
    }
    return { redirects, transactions: this.#order, sequence: this.#sequence };
  }

  #nothing() {
    return { copies: [], revoked: [], damagedAt: undefined, sum: 0xffffffff };
  }

  #advance(): number {
    const { first, end } = this.#journal.facts;
    const number = this.#position++;
    if (this.#position === end) this.#position = first;
    this.#left--;
    return number;
  }

  #next(): Promise<JournalBlock> {
    return this.#journal.block(this.#advance());
  }

  get #hasTails(): boolean {
    const { checksums } = this.#journal.facts;
    return checksums === "v2" || checksums === "v3";
  }

  /** Notes when the checksum at the end of a descriptor or revoke block is wrong. Returns where its content ends. */
  #verifyTail({ bytes, at }: JournalBlock): number {
    if (!this.#hasTails) return bytes.length;
    const end = bytes.length - layout.JOURNAL_TAIL_SIZE;
    const stored = new DataView(bytes.buffer, bytes.byteOffset, bytes.length).getUint32(end);
    const sum = crc32c(
      new Uint8Array(layout.JOURNAL_TAIL_SIZE),
      crc32c(bytes.subarray(0, end), this.#journal.facts.seed),
    );
    if (sum !== stored) this.#pending.damagedAt ??= at;
    return end;
  }

  async #descriptor(block: JournalBlock): Promise<void> {
    const { wide, checksums } = this.#journal.facts;
    const end = this.#verifyTail(block);
    if (checksums === "commit") this.#pending.sum = crc32BigEndian(block.bytes, this.#pending.sum);
    const size = checksums === "v3" ? layout.journalTag3.size : layout.journalTag.size + (wide ? 4 : 0);
    const step = checksums === "v2" ? size + 2 : size;
    for (let at = layout.journalHeader.size; at + step <= end && this.#left > 0; ) {
      const tag = readTag(block.bytes, at, checksums === "v3", wide);
      const number = this.#position;
      if (checksums === "commit") this.#pending.sum = crc32BigEndian((await this.#next()).bytes, this.#pending.sum);
      else this.#advance();
      const escaped = (tag.flags & layout.JOURNAL_TAG.escaped) !== 0;
      const { block: target, checksum } = tag;
      this.#pending.copies.push({
        block: target,
        number,
        escaped,
        checksum,
        sequence: this.#sequence,
        order: this.#order,
      });
      if ((tag.flags & layout.JOURNAL_TAG.last) !== 0) break;
      at += step + ((tag.flags & layout.JOURNAL_TAG.sameUuid) === 0 ? UUID_SIZE : 0);
    }
  }

  #revoke(block: JournalBlock): void {
    const { bytes, at } = block;
    const end = this.#verifyTail(block);
    const size = this.#journal.facts.wide ? REVOKE_SIZES.wide : REVOKE_SIZES.narrow;
    const { used } = layout.journalRevoke.read(bytes);
    if (used > end) {
      this.#pending.damagedAt ??= at;
      return;
    }
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    for (let from = layout.journalRevoke.size; from + size <= used; from += size) {
      const block = size === REVOKE_SIZES.wide ? Number(view.getBigUint64(from)) : view.getUint32(from);
      this.#pending.revoked.push(block);
    }
  }

  /** Returns false when the transaction, and with it the journal, ends before it was complete. */
  #commit({ bytes }: JournalBlock): boolean {
    const commit = layout.journalCommit.read(bytes);
    const time = commit.secondsHigh * 2 ** 32 + commit.seconds;
    const { copies, revoked, damagedAt } = this.#pending;
    if (damagedAt !== undefined) {
      // Blocks of an older turn of the ring may look like a transaction. Their commit would be older than the one before.
      if (time < this.#lastCommit) return false;
      throw corrupt(damagedAt, `transaction ${this.#sequence} of the journal was committed, and is damaged`);
    }
    if (!this.#commitHolds(bytes, commit)) return false;
    this.#lastCommit = time;
    for (const copy of copies) this.#copies.push(copy);
    for (const block of revoked) this.#revoked.set(block, this.#order);
    this.#pending = this.#nothing();
    this.#order++;
    this.#sequence = (this.#sequence + 1) >>> 0;
    return true;
  }

  #commitHolds(bytes: Uint8Array, commit: { checksumType: number; checksumSize: number; checksum: number }): boolean {
    const { checksums, seed } = this.#journal.facts;
    if (this.#hasTails) {
      const at = layout.journalCommit.offsets.checksum;
      const sum = crc32c(new Uint8Array(4), crc32c(bytes.subarray(0, at), seed));
      return crc32c(bytes.subarray(at + 4), sum) === commit.checksum;
    }
    if (checksums === "none") return true;
    const unused = commit.checksumType === 0 && commit.checksumSize === 0 && commit.checksum === 0;
    return unused || (commit.checksumType === 1 && commit.checksumSize === 4 && commit.checksum === this.#pending.sum);
  }

  /** The checksum of a copy, as it is in the journal. Tags of version 2 have the lower half of it. */
  #copyHolds(bytes: Uint8Array, sequence: number, checksum: number): boolean {
    if (!this.#hasTails) return true;
    const { checksums, seed } = this.#journal.facts;
    const number = new Uint8Array(4);
    new DataView(number.buffer).setUint32(0, sequence);
    const sum = crc32c(bytes, crc32c(number, seed));
    return (checksums === "v3" ? sum : sum & 0xffff) === checksum;
  }
}

function readTag(bytes: Uint8Array, at: number, isV3: boolean, wide: boolean) {
  if (isV3) {
    const { blockLow, blockHigh, flags, checksum } = layout.journalTag3.read(bytes, at);
    return { block: blockLow + (wide ? blockHigh * 2 ** 32 : 0), flags, checksum };
  }
  const { blockLow, flags, checksum } = layout.journalTag.read(bytes, at);
  const high = wide ? new DataView(bytes.buffer, bytes.byteOffset + at).getUint32(layout.journalTag.size) : 0;
  return { block: blockLow + high * 2 ** 32, flags, checksum };
}
