/**
 * A block map, version 2.0, as bmaptool reads it (yoctoproject/bmaptool, BmapCopy.py and BmapCreate.py): an XML file that
 * lists the blocks of the image that have to be written, with a SHA-256 of each range and one of itself. Blocks that nobody
 * wrote are not in it, so a device keeps what it had there; zeros that a format needs are, though they are holes in the file.
 */
import { createHash } from "node:crypto";
import { IMAGE } from "./artifact-names.js";
import { pieces, type Recorded, writtenBlocks } from "./blocks.js";
import type { Output } from "./output.js";

const BLOCK = 4096;
/** The checksum of the file is over the file with these in the checksum's place. */
const NO_CHECKSUM = "0".repeat(64);

export const bmap: Output = {
  async write({ image, options }, folder) {
    options.stage?.("block map");
    await folder.append(`${IMAGE}.bmap`).write(new TextEncoder().encode(await blockMap(image)));
  },
};

/** The text of the block map of `image`. The checksum of a range ends where the image does. */
export async function blockMap(image: Recorded): Promise<string> {
  const ranges: string[] = [];
  const blocks = writtenBlocks(image, BLOCK);
  for (const { start, end } of blocks) {
    const hash = createHash("sha256");
    for await (const { bytes } of pieces(image, start, Math.min(end, image.size))) hash.update(bytes);
    const [first, last] = [start / BLOCK, end / BLOCK - 1];
    const range = first === last ? `${first}` : `${first}-${last}`;
    ranges.push(`        <Range chksum="${hash.digest("hex")}"> ${range} </Range>\n`);
  }
  const text = (checksum: string) => `<?xml version="1.0" ?>
<bmap version="2.0">
    <ImageSize> ${image.size} </ImageSize>
    <BlockSize> ${BLOCK} </BlockSize>
    <BlocksCount> ${Math.ceil(image.size / BLOCK)} </BlocksCount>
    <MappedBlocksCount> ${blocks.bytes / BLOCK} </MappedBlocksCount>
    <ChecksumType> sha256 </ChecksumType>
    <BmapFileChecksum> ${checksum} </BmapFileChecksum>
    <BlockMap>
${ranges.join("")}    </BlockMap>
</bmap>
`;
  return text(createHash("sha256").update(text(NO_CHECKSUM)).digest("hex"));
}
