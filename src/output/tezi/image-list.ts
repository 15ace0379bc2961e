/** image_list.json: what the Toradex Easy Installer reads from a web server, where it can look into no folder. */
import * as fs from "node:fs";
import * as path from "node:path";
import { ImgbuildError } from "../../errors.js";

export const IMAGE_LIST = "image_list.json";

/** How deep the installer itself looks for images on a stick or a card. */
const DEEPEST = 3;

export interface ListedImage {
  /** The path of its image.json from the list's folder, with `/` on every host. */
  readonly file: string;
  readonly name: string;
  readonly version: string | undefined;
  readonly productIds: readonly string[];
}

/** The text of a list of images, by their files' paths from the list. The installer takes these for URLs. */
export function imageList(files: readonly string[]): string {
  const images = files.map((file) => file.split("/").map(encodeURIComponent).join("/"));
  return `${JSON.stringify({ config_format: 1, images }, undefined, 2)}\n`;
}

/**
 * The images in `folder` and in folders of it, as deep as the installer looks, in the order of their paths. Throws
 * `source-missing` where there is none, `source-invalid` for one that the installer would not take.
 */
export function findImages(folder: string): ListedImage[] {
  const images = [...descriptions(folder, "", DEEPEST)].sort().map((file) => describe(folder, file));
  if (images.length > 0) return images;
  throw new ImgbuildError("source-missing", `there is no image for the Toradex Easy Installer in ${folder}`, {
    hint: `It is looked for image.json there and ${DEEPEST} folders deep. \`--format tezi\` makes one.`,
  });
}

/** Every image*.json, as the installer matches names; no list, and nothing of a build that is under way. */
function* descriptions(folder: string, prefix: string, depth: number): Generator<string> {
  for (const name of namesIn(path.join(folder, prefix))) {
    const file = `${prefix}${name}`;
    // Symlinks count as what they lead to: a release may be linked to where the server looks.
    const stat = fs.statSync(path.join(folder, file), { throwIfNoEntry: false });
    if (stat?.isDirectory() && depth > 0 && !name.startsWith(".")) yield* descriptions(folder, `${file}/`, depth - 1);
    if (stat?.isFile() && /^image.*\.json$/.test(name) && name !== IMAGE_LIST) yield file;
  }
}

function namesIn(folder: string): string[] {
  try {
    return fs.readdirSync(folder);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const missing = code === "ENOENT" || code === "ENOTDIR";
    throw new ImgbuildError(
      missing ? "source-missing" : "source-unreadable",
      missing ? `there is no folder ${folder}` : `cannot read the folder ${folder}: ${code}`,
      { hint: "Name the folder that the web server serves.", cause: error },
    );
  }
}

function describe(folder: string, file: string): ListedImage {
  const invalid = (what: string, cause?: unknown) =>
    new ImgbuildError("source-invalid", `${path.join(folder, file)} is no description of an image: ${what}`, {
      hint: "Build it again, or move it out of the folder.",
      cause,
    });
  let image: Record<string, unknown>;
  try {
    image = JSON.parse(fs.readFileSync(path.join(folder, file), "utf8")) as Record<string, unknown>;
  } catch (error) {
    throw invalid((error as Error).message, error);
  }
  const { name, version, supported_product_ids: productIds } = image ?? {};
  if (typeof name !== "string") throw invalid("it has no name");
  const texts = (value: unknown): value is string[] =>
    Array.isArray(value) && value.every((item) => typeof item === "string");
  if (!texts(productIds)) throw invalid("supported_product_ids is no list of product numbers");
  const missing: string[] = [];
  for (const named of new Set(filesOf(image))) {
    if (/^[a-z][a-z0-9+.-]*:\/\//i.test(named)) continue;
    if (named.split(/[/\\]/).includes("..") || path.posix.isAbsolute(named)) {
      throw invalid(`it names ${JSON.stringify(named)}, which is not in its folder`);
    }
    const beside = path.join(folder, path.dirname(file), named);
    if (!fs.statSync(beside, { throwIfNoEntry: false })?.isFile()) missing.push(named);
  }
  if (missing.length > 0) throw invalid(`${missing.join(", ")} ${missing.length > 1 ? "are" : "is"} missing beside it`);
  return { file, name, version: typeof version === "string" ? version : undefined, productIds };
}

/** The keys whose values are names of files beside image.json. */
const FILE_KEYS: ReadonlySet<string> = new Set([
  ...["u_boot_env", "prepare_script", "wrapup_script", "error_script", "icon", "marketing", "license", "releasenotes"],
  "filename",
]);

/** The names of all files that a description has, wherever it has them: further kinds of devices have them as well. */
function* filesOf(value: unknown): Generator<string> {
  if (typeof value !== "object" || value === null) return;
  for (const [key, item] of Object.entries(value)) {
    if (FILE_KEYS.has(key) && typeof item === "string" && item !== "") yield item;
    else yield* filesOf(item);
  }
}
