/**
 * What reading all files does not come by. Every inode of the tables is asked for its blocks and its names; what comes of that
 * is held against bitmaps, counts and indexes. The order is that of e2fsck, whose passes each need what is before:
 *
 *     group-layout.ts    what belongs to no inode, by the descriptors
 *     inode-scan.ts      the inode tables: block-claims.ts, attribute-claims.ts; name-counts.ts with index-tree.ts and
 *                        name-hash.ts; orphans.ts are those that nothing leads to any more
 *     groups.ts          bitmaps and counts of groups, which hold what the kernel finds room by
 *     superblocks.ts     the superblock's own counts, and the copies that e2fsck falls back to
 */
import type { Finding } from "../../bytes/finding.js";
import { groupDescriptor } from "../layout.js";
import { Budget } from "../reader/block-map.js";
import type { Image } from "../reader/image.js";
import { BlockClaims } from "./block-claims.js";
import { type GroupFacts, groupFacts, groupMetadata } from "./group-layout.js";
import { checkGroup } from "./groups.js";
import { InodeScan } from "./inode-scan.js";
import { readOrphans } from "./orphans.js";
import { Report } from "./report.js";
import { checkCopy, checkTotals } from "./superblocks.js";

/**
 * Yields what is wrong in `image`. Fast commits change files and not the bitmaps, which the kernel mends as it replays them:
 * where there are some, who uses what is not looked at.
 */
export async function* checkImage(image: Image): AsyncGenerator<Finding> {
  const { superblock } = image;
  const report = new Report();
  const groups: ({ facts: GroupFacts; at: number; scanned: boolean } | undefined)[] = [];
  const claims = new BlockClaims(image, report);
  const tables = new Budget(image);
  claims.claimBootSector();
  claimMultiMount(image, claims);
  for (let group = 0; group < superblock.groups; group++) {
    if (group > 0 && image.hasSuperblock(group)) await report.try(() => checkCopy(image, group, report));
    const known = await report.try(async () => {
      const { fields, at } = await image.descriptor(group);
      // Says where the inode table cannot be.
      await image.inodeOffset(group * superblock.inodesPerGroup + 1);
      const facts = groupFacts(superblock, fields);
      let scanned = true;
      for (const range of groupMetadata(image, group, facts)) {
        // Bitmaps that are nowhere are told with what they should hold. Block 0 may have the superblock in it.
        if (range.block < superblock.firstDataBlock || range.block + range.count > superblock.blocks) continue;
        const named = { ...range, what: `${range.what} of group ${group}` };
        if (!claims.claimMetadata(named, at)) scanned = false;
        if (range.block === facts.inodeTable) {
          const place = at + groupDescriptor.offsets.inodeTableLow;
          tables.take(range.count, place, () => `the inode table of group ${group}`);
        }
      }
      return { facts, at, scanned };
    });
    groups.push(known);
    if (known === undefined) report.blocksKnown = report.namesKnown = false;
    yield* report.take();
  }
  if (image.fastCommits !== undefined) {
    yield { severity: "warning", message: "there are fast commits: which blocks and inodes are in use is not checked" };
  }
  const orphans = image.fastCommits === undefined ? await report.try(() => readOrphans(image)) : undefined;
  yield* report.take();
  const scan = new InodeScan(image, claims, report, orphans ?? new Set());
  if (orphans === undefined) report.blocksKnown = report.namesKnown = false;
  else {
    for (const [group, known] of groups.entries()) {
      if (!known?.scanned) report.blocksKnown = report.namesKnown = false;
      else for await (const _ of scan.group(group, known.facts)) yield* report.take();
      yield* report.take();
      if (claims.isHopeless) return;
    }
    for await (const _ of scan.compare()) yield* report.take();
    yield* report.take();
  }

  let [freeBlocks, freeInodes] = [0, 0];
  for (const [group, known] of groups.entries()) {
    if (known === undefined) continue;
    freeBlocks += known.facts.freeBlocks;
    freeInodes += known.facts.freeInodes;
    const used = report.blocksKnown
      ? { blocks: claims.ofGroup(group), inodes: scan.ofGroup(group), directories: scan.directoriesOf(group) }
      : undefined;
    await checkGroup(image, group, known, used, report);
    yield* report.take();
  }
  if (report.blocksKnown) checkTotals(image, freeBlocks, freeInodes, report);
  yield* report.take();
}

/** The block by which hosts see that another has mounted the file system (mmp). */
function claimMultiMount(image: Image, claims: BlockClaims): void {
  const { mmpBlockLow, mmpBlockHigh } = image.superblock.fields;
  const block = mmpBlockLow + mmpBlockHigh * 2 ** 32;
  if (image.has(block)) claims.claimMetadata({ what: "the MMP block", block, count: 1 }, 0);
}
