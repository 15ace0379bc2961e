/** Reads a superblock, and holds data and tree against each other. */
import type { ReadableDevice } from "../bytes/device.js";
import { sameBytes } from "../bytes/same-bytes.js";
import type { StructValues } from "../bytes/struct.js";
import { formatUuid } from "../bytes/uuid.js";
import {
  ALGORITHM,
  BLOCK_SIZE,
  DIGEST_SIZE,
  DIGESTS_PER_BLOCK,
  HASH_TYPE,
  SIGNATURE,
  VERSION,
  veritySuperblock,
} from "./layout.js";
import { BlockHash, type Level, levelsOf, veritySize } from "./tree.js";

export interface VerityFacts {
  readonly uuid: string;
  /** Where the superblock is, in bytes. */
  readonly hashOffset: number;
  readonly dataBlocks: number;
  readonly salt: Uint8Array;
  /** In hexadecimal, as the tree's highest block has it: true of the data only when `checkVerity` finds nothing. */
  readonly rootHash: string;
}

export interface VerityFinding {
  readonly severity: "error";
  readonly message: string;
  /** In bytes. */
  readonly offset: number;
}

/**
 * The hash tree whose superblock is at byte `hashOffset`; undefined where there is none, a string where there is one that cannot be
 * read here, saying why.
 */
export async function openVerity(
  device: ReadableDevice,
  hashOffset: number,
): Promise<VerityFacts | string | undefined> {
  if (hashOffset % BLOCK_SIZE !== 0 || hashOffset + BLOCK_SIZE > device.size) return undefined;
  const bytes = await device.read(hashOffset, BLOCK_SIZE);
  if (!sameBytes(bytes.subarray(0, SIGNATURE.length), SIGNATURE)) return undefined;
  let values: StructValues<typeof veritySuperblock>;
  try {
    values = veritySuperblock.read(bytes);
  } catch (error) {
    return `its superblock is damaged: ${(error as Error).message}`;
  }
  const { version, hashType, algorithm, dataBlockSize, hashBlockSize, dataBlocks, saltSize } = values;
  if (version !== VERSION || hashType !== HASH_TYPE)
    return `its version is ${version}, type ${hashType}, and 1 of 1 is known`;
  if (algorithm !== ALGORITHM) return `its digests are ${algorithm}, and ${ALGORITHM} is known`;
  if (dataBlockSize !== BLOCK_SIZE || hashBlockSize !== BLOCK_SIZE) {
    return `its blocks have ${dataBlockSize} and ${hashBlockSize} bytes, and ${BLOCK_SIZE} are known`;
  }
  if (saltSize > 256) return `its salt would have ${saltSize} bytes`;
  const dataSize = dataBlocks * BLOCK_SIZE;
  if (dataSize === 0 || dataSize > hashOffset || hashOffset + veritySize(dataSize) > device.size) {
    return `it is about ${dataBlocks} blocks, which do not fit in front of it, or it does not fit behind them`;
  }
  const salt = Uint8Array.from(values.salt.slice(0, saltSize));
  const top = levelsOf(dataBlocks).at(-1);
  const highest = await device.read(top === undefined ? 0 : hashOffset + top.at * BLOCK_SIZE, BLOCK_SIZE);
  const rootHash = Buffer.from(new BlockHash(salt).digest(highest)).toString("hex");
  return { uuid: formatUuid(values.uuid), hashOffset, dataBlocks, salt, rootHash };
}

/** What does not match its digest, from the root hash down to the data, in whole stretches. Reads everything once. */
export async function* checkVerity(
  device: ReadableDevice,
  { hashOffset, dataBlocks, salt }: VerityFacts,
  progress?: (bytes: number) => void,
): AsyncGenerator<VerityFinding, void> {
  const hash = new BlockHash(salt);
  const levels = levelsOf(dataBlocks);
  const place = ({ at, blocks }: Level) => ({ start: hashOffset + at * BLOCK_SIZE, blocks });
  // Each level against the one above it, the highest first: what is wrong there makes everything below look wrong.
  for (let index = levels.length - 1; index >= 0; index--) {
    const digests = place(levels[index]!);
    const below = index === 0 ? { start: 0, blocks: dataBlocks } : place(levels[index - 1]!);
    const what = index === 0 ? "the data" : "the hash tree";
    for await (const { start, end } of different(
      device,
      hash,
      below,
      digests.start,
      index === 0 ? progress : undefined,
    )) {
      const message = `${what} is not what its digests say at bytes ${start} to ${end}: the kernel refuses to read it`;
      yield { severity: "error", message, offset: start };
    }
  }
}

/** Stretches of blocks whose digests are not the ones from `digestsAt` on. */
async function* different(
  device: ReadableDevice,
  hash: BlockHash,
  { start, blocks }: { start: number; blocks: number },
  digestsAt: number,
  progress: ((bytes: number) => void) | undefined,
): AsyncGenerator<{ start: number; end: number }, void> {
  let wrong: { start: number; end: number } | undefined;
  for (let first = 0; first < blocks; first += DIGESTS_PER_BLOCK) {
    const count = Math.min(DIGESTS_PER_BLOCK, blocks - first);
    const data = await device.read(start + first * BLOCK_SIZE, count * BLOCK_SIZE);
    const digests = await device.read(digestsAt + first * DIGEST_SIZE, count * DIGEST_SIZE);
    for (let i = 0; i < count; i++) {
      const found = hash.digest(data.subarray(i * BLOCK_SIZE, (i + 1) * BLOCK_SIZE));
      if (sameBytes(found, digests.subarray(i * DIGEST_SIZE, (i + 1) * DIGEST_SIZE))) continue;
      const at = start + (first + i) * BLOCK_SIZE;
      if (wrong !== undefined && wrong.end !== at) {
        yield wrong;
        wrong = undefined;
      }
      wrong = { start: wrong?.start ?? at, end: at + BLOCK_SIZE };
    }
    progress?.(data.length);
  }
  if (wrong !== undefined) yield wrong;
}
