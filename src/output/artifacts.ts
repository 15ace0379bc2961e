/** The files of a build: the image is assembled, each output made of it, all of them hashed, and the manifest says so. */
import * as fs from "node:fs";
import * as path from "node:path";
import { type Device, type ReadableDevice, RecordingDevice } from "../bytes/device.js";
import { ExtentSet } from "../bytes/extent.js";
import { type AssembleOptions, assemble } from "../image/assemble.js";
import type { Prepared } from "../image/prepare.js";
import { IMAGE, isArtifactName, MANIFEST } from "./artifact-names.js";
import { type Artifact, type Manifest, type ManifestProfile, makeManifest, readManifest } from "./manifest.js";
import type { AppendedFile, ArtifactFolder } from "./output.js";
import { outputsOf } from "./outputs.js";
import { sha256OfAll } from "./sha256.js";
import type { Workspace } from "./workspace.js";

export { BOOT0, IMAGE, MANIFEST } from "./artifact-names.js";

/** Builds every output of the profile in `workspace` and puts their files into place. Returns the manifest. */
export async function writeArtifacts(
  workspace: Workspace,
  profile: ManifestProfile,
  prepared: Prepared,
  options: AssembleOptions,
): Promise<Manifest> {
  const { plan } = profile;
  const outputs = await outputsOf(plan);
  for (const output of outputs.values()) output.checkInputs?.(plan, prepared);
  const earlier = readManifest(workspace.folder);
  const file = workspace.create(IMAGE);
  const image = new RecordingDevice(file);
  const assembled = await assemble(file, image, plan, prepared, options);

  const folder = new Folder(workspace, image);
  for (const output of outputs.values()) await output.write({ plan, prepared, assembled, image, options }, folder);
  if (!folder.files.has(IMAGE)) workspace.remove(IMAGE);

  options.stage?.("checksums");
  const written = [...folder.files].map(([file, { size, data }]) => ({ file, size, data: [...data] }));
  const digests = await sha256OfAll(
    written.map(({ file, size, data }) => ({ path: workspace.pathOf(file), size, data })),
    options.jobs,
  );
  const artifacts = written.map(({ file, size }, index): Artifact => ({ file, size, sha256: digests[index]! }));
  const manifest = makeManifest(profile, prepared, assembled, artifacts);
  const text = new TextEncoder().encode(`${JSON.stringify(manifest, undefined, 2)}\n`);
  await workspace.create(MANIFEST, text.length).write(0, text);
  workspace.commit({ manifest: MANIFEST, stale: staleFiles(workspace.folder, earlier) });
  return manifest;
}

interface Written extends ReadableDevice {
  readonly data: ExtentSet;
}

/** Makes the files of outputs, and remembers where data is in each. */
class Folder implements ArtifactFolder {
  readonly #workspace: Workspace;
  readonly #image: RecordingDevice;
  readonly files = new Map<string, Written>();

  constructor(workspace: Workspace, image: RecordingDevice) {
    this.#workspace = workspace;
    this.#image = image;
  }

  create(name: string, size: number): RecordingDevice {
    const file = new RecordingDevice(this.#workspace.create(name, size));
    this.files.set(name, file);
    return file;
  }

  append(name: string): AppendedFile {
    const file = new Appended(this.#workspace.create(name));
    this.files.set(name, file);
    return file;
  }

  get scratch(): string {
    return this.#workspace.scratch;
  }

  keepImage(): void {
    this.files.set(IMAGE, this.#image);
  }

  made(): ReadonlyMap<string, ReadableDevice> {
    return this.files;
  }
}

class Appended implements AppendedFile, Written {
  readonly data = new ExtentSet();
  readonly #device: Device;
  #size = 0;

  constructor(device: Device) {
    this.#device = device;
  }

  get size(): number {
    return this.#size;
  }

  async write(bytes: Uint8Array): Promise<void> {
    const at = this.#size;
    this.#size += bytes.length;
    await this.#device.write(at, bytes);
    this.data.add(at, this.#size);
  }

  read(at: number, length: number): Promise<Uint8Array> {
    return this.#device.read(at, length);
  }

  rewrite(at: number, bytes: Uint8Array): Promise<void> {
    return this.#device.write(at, bytes);
  }
}

/** What an earlier build made in `folder`, by its manifest: files that are in it, and not behind symlinks. */
function staleFiles(folder: string, earlier: Manifest | undefined): string[] {
  const inFolders = (file: string) =>
    [...file.matchAll(/\//g)].every(({ index }) => {
      const stat = fs.lstatSync(path.join(folder, file.slice(0, index)), { throwIfNoEntry: false });
      return stat?.isDirectory() ?? false;
    });
  return (earlier?.artifacts ?? []).map(({ file }) => file).filter((file) => isArtifactName(file) && inFolders(file));
}
