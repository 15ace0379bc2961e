/**
 * An empty qcow2 image over a raw one: what is written goes here, and the raw image stays as it is. Written by ourselves,
 * so that no qemu-img is needed, and because it may be larger than the image under it, which then reads as zeros.
 *
 * QEMU, docs/interop/qcow2.txt. On disk, one cluster each:
 *
 *   | cluster | holds |
 *   |---|---|
 *   | 0 | header, and the backing file's name and format |
 *   | 1 | refcount table: one entry |
 *   | 2 | refcount block: the first clusters are in use, once each |
 *   | 3 ... | L1 table, all zero: nothing is allocated yet |
 */
import { ascii, be16, be32, be64, struct } from "../bytes/struct.js";
import { ImgbuildError } from "../errors.js";

const CLUSTER_BITS = 16;
const CLUSTER = 2 ** CLUSTER_BITS;
/** An L2 table fills a cluster with entries of 8 bytes, one a cluster. */
const BYTES_PER_L1_ENTRY = (CLUSTER / 8) * CLUSTER;

const REFCOUNT_TABLE = 1;
const REFCOUNT_BLOCK = 2;
const L1_TABLE = 3;

/** "Header", version 3. */
const header = struct("qcow2_header", 104, {
  magic: [0, be32],
  version: [4, be32],
  backingFileOffset: [8, be64],
  backingFileSize: [16, be32],
  clusterBits: [20, be32],
  size: [24, be64],
  cryptMethod: [32, be32],
  l1Size: [36, be32],
  l1TableOffset: [40, be64],
  refcountTableOffset: [48, be64],
  refcountTableClusters: [56, be32],
  snapshotCount: [60, be32],
  snapshotsOffset: [64, be64],
  incompatibleFeatures: [72, be64],
  compatibleFeatures: [80, be64],
  autoclearFeatures: [88, be64],
  refcountOrder: [96, be32],
  headerLength: [100, be32],
});
const MAGIC = 0x514649fb; // "QFI\xfb"

/** "Header extensions": a type, a length, and data padded to 8 bytes. A type of zero ends the list. */
const backingFormat = struct("qcow2_backing_format", 24, {
  type: [0, be32],
  length: [4, be32],
  format: [8, ascii(8)],
  endType: [16, be32],
  endLength: [20, be32],
});
const BACKING_FORMAT = 0xe2792aca;

/** "Backing file name": at most 1023 bytes. */
const LONGEST_NAME = 1023;

/**
 * The bytes of a qcow2 image of `size` bytes that shows the raw image `backing`, an absolute path, and zeros after its
 * end. Throws "not-representable" when the path is longer than 1023 bytes.
 */
export function emptyQcow2(backing: string, size: number): Uint8Array {
  const name = new TextEncoder().encode(backing);
  if (name.length > LONGEST_NAME) {
    throw new ImgbuildError(
      "not-representable",
      `cannot make a snapshot of ${backing}: the path has ${name.length} bytes`,
      {
        hint: `A qcow2 image holds a path of at most ${LONGEST_NAME} bytes. Move the image to a folder with a shorter name.`,
      },
    );
  }
  const l1Size = Math.ceil(size / BYTES_PER_L1_ENTRY);
  const clusters = L1_TABLE + Math.ceil((8 * l1Size) / CLUSTER);
  const bytes = new Uint8Array(clusters * CLUSTER);
  const nameOffset = header.size + backingFormat.size;
  header.write(bytes, 0, {
    magic: MAGIC,
    version: 3,
    backingFileOffset: BigInt(nameOffset),
    backingFileSize: name.length,
    clusterBits: CLUSTER_BITS,
    size: BigInt(size),
    l1Size,
    l1TableOffset: BigInt(L1_TABLE * CLUSTER),
    refcountTableOffset: BigInt(REFCOUNT_TABLE * CLUSTER),
    refcountTableClusters: 1,
    refcountOrder: 4,
    headerLength: header.size,
  });
  backingFormat.write(bytes, header.size, { type: BACKING_FORMAT, length: 3, format: "raw" });
  bytes.set(name, nameOffset);
  const view = new DataView(bytes.buffer);
  be64.set(view, REFCOUNT_TABLE * CLUSTER, BigInt(REFCOUNT_BLOCK * CLUSTER));
  for (let cluster = 0; cluster < clusters; cluster++) be16.set(view, REFCOUNT_BLOCK * CLUSTER + 2 * cluster, 1);
  return bytes;
}
