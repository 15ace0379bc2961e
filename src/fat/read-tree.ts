/** Nodes of entries, and whole trees of them. Each cluster may belong to one of them, which bounds time and memory by its length. */
import { type ByteString, display } from "../bytes/bytestring.js";
import type { ImgbuildError } from "../errors.js";
import { pathIn, reportDamage, type TreeReading } from "../tree/damage.js";
import { type Content, type Directory, type Node, newDirectory, newFile } from "../tree/node.js";
import type { Tree } from "../tree/tree.js";
import { Chain, ClusterSet, type Run } from "./chain.js";
import { corrupt } from "./corrupt.js";
import { decodeDirectory, type FatDirectory, type FatEntry, type FatFile, type Piece } from "./entries.js";
import { foldName, nameText } from "./names.js";
import type { OpenVolume } from "./volume.js";

/** The node of `entry`; of a directory, without what is in it. */
export function nodeOf(entry: FatEntry, content: (file: FatFile) => Content): Node {
  const { mtime } = entry;
  if (entry.type === "directory") return newDirectory({ mtime });
  // As Linux shows it (fat_make_mode() in fs/fat/fat.h); of a directory the attribute says something else.
  return newFile(content(entry), { mtime, mode: entry.readOnly ? 0o444 : 0o644 });
}

export async function readTree(
  volume: OpenVolume,
  content: (file: FatFile) => Content,
  { from = volume.root, damaged }: TreeReading<FatDirectory>,
): Promise<Tree> {
  return { root: await new TreeReader(volume, content, damaged).read(from) };
}

class TreeReader {
  readonly #volume: OpenVolume;
  readonly #content: (file: FatFile) => Content;
  readonly #damaged: TreeReading<unknown>["damaged"];
  readonly #taken: ClusterSet;
  /** Whose the clusters in `#taken` are. */
  readonly #owners: FatEntry[] = [];
  /** Directories that still have to be read. */
  readonly #pending: { readonly node: Directory; readonly entry: FatDirectory; readonly path: ByteString }[] = [];

  constructor(volume: OpenVolume, content: (file: FatFile) => Content, damaged: TreeReading<unknown>["damaged"]) {
    this.#volume = volume;
    this.#content = content;
    this.#damaged = damaged;
    this.#taken = new ClusterSet(volume.geometry);
  }

  async read(from: FatDirectory): Promise<Directory> {
    const { root, fixedRoot } = this.#volume;
    const top = nodeOf(from, this.#content) as Directory;
    this.#pending.push({ node: top, entry: from, path: "" as ByteString });
    for (let next = this.#pending.pop(); next !== undefined; next = this.#pending.pop()) {
      const { node, entry, path } = next;
      try {
        const fixed = entry === root ? fixedRoot : undefined;
        await this.#fill(node, fixed === undefined ? (await this.#claim(entry)).pieces() : [fixed], path);
      } catch (error) {
        reportDamage(error, this.#damaged, path);
      }
    }
    return top;
  }

  async #fill(directory: Directory, pieces: Iterable<Piece>, path: ByteString): Promise<void> {
    const { entries } = await decodeDirectory(this.#volume.device, pieces);
    const seen = new Set<string>();
    for (const entry of entries) {
      const inside = pathIn(path, entry.name);
      try {
        const folded = foldName(nameText(entry.name));
        if (seen.has(folded)) throw corrupt(entry.at, `a directory has the name "${display(entry.name)}" twice`);
        seen.add(folded);
        if (entry.type === "file") await this.#claim(entry);
        const node = nodeOf(entry, this.#content);
        directory.entries.set(entry.name, node);
        if (entry.type === "directory") this.#pending.push({ node: node as Directory, entry, path: inside });
      } catch (error) {
        reportDamage(error, this.#damaged, inside);
      }
    }
  }

  /** The chain of an entry, whose clusters from now on are its own. */
  async #claim(entry: FatEntry): Promise<Chain> {
    const chain = new Chain(this.#volume.geometry);
    for await (const batch of this.#volume.chains.runs(entry)) {
      for (const run of batch) {
        const twice = this.#taken.add(run.first, run.count);
        if (twice !== undefined) throw await this.#shared(entry, run, twice);
        chain.add(run.first, run.count);
      }
    }
    this.#owners.push(entry);
    return chain;
  }

  /** The error for a cluster that came up before: it names whose it is, or says that the chain meets itself. */
  async #shared(entry: FatEntry, run: Run, cluster: number): Promise<ImgbuildError> {
    const { chains } = this.#volume;
    for (const owner of this.#owners) {
      for await (const batch of chains.runs(owner)) {
        if (!batch.some(({ first, count }) => first <= cluster && cluster < first + count)) continue;
        return corrupt(entry.at, `${describe(entry)} has cluster ${cluster}, as has ${describe(owner)}`, { cluster });
      }
    }
    return chains.circle(run, cluster);
  }
}

function describe({ type, name, at }: FatEntry): string {
  return name === "" ? "the root directory" : `the ${type} "${display(name)}" at byte ${at}`;
}
