/** A whole volume as a tree. Each cluster may belong to one file or directory, which bounds time and memory by its length. */
import { display } from "../bytes/bytestring.js";
import type { ImgbuildError } from "../errors.js";
import { type Content, type Directory, newDirectory, newFile } from "../tree/node.js";
import type { Tree } from "../tree/tree.js";
import { Chain, ClusterSet, type Run } from "./chain.js";
import { corrupt } from "./corrupt.js";
import { decodeDirectory, type FatDirectory, type FatEntry, type FatFile, type Piece } from "./entries.js";
import { foldName, nameText } from "./names.js";
import type { OpenVolume } from "./volume.js";

export async function readTree(volume: OpenVolume, content: (file: FatFile) => Content): Promise<Tree> {
  return { root: await new TreeReader(volume, content).read() };
}

class TreeReader {
  readonly #volume: OpenVolume;
  readonly #content: (file: FatFile) => Content;
  readonly #taken: ClusterSet;
  /** Whose the clusters in `#taken` are. */
  readonly #owners: FatEntry[] = [];
  /** Directories that still have to be read. */
  readonly #pending: { readonly node: Directory; readonly entry: FatDirectory }[] = [];

  constructor(volume: OpenVolume, content: (file: FatFile) => Content) {
    this.#volume = volume;
    this.#content = content;
    this.#taken = new ClusterSet(volume.geometry);
  }

  async read(): Promise<Directory> {
    const { root, fixedRoot } = this.#volume;
    const top = newDirectory();
    await this.#fill(top, fixedRoot === undefined ? (await this.#claim(root)).pieces() : [fixedRoot]);
    for (let next = this.#pending.pop(); next !== undefined; next = this.#pending.pop()) {
      await this.#fill(next.node, (await this.#claim(next.entry)).pieces());
    }
    return top;
  }

  async #fill(directory: Directory, pieces: Iterable<Piece>): Promise<void> {
    const { entries } = await decodeDirectory(this.#volume.device, pieces);
    const seen = new Set<string>();
    for (const entry of entries) {
      const folded = foldName(nameText(entry.name));
      if (seen.has(folded)) throw corrupt(entry.at, `a directory has the name "${display(entry.name)}" twice`);
      seen.add(folded);
      const { mtime } = entry;
      if (entry.type === "directory") {
        const node = newDirectory({ mtime });
        directory.entries.set(entry.name, node);
        this.#pending.push({ node, entry });
      } else {
        await this.#claim(entry);
        // As Linux shows it (fat_make_mode() in fs/fat/fat.h); of a directory the attribute says something else.
        const mode = entry.readOnly ? 0o444 : 0o644;
        directory.entries.set(entry.name, newFile(this.#content(entry), { mtime, mode }));
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
