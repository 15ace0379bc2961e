/** Single files of the host that are no part of a tree: kernels, device trees, bootloaders. */
import * as fs from "node:fs";
import * as path from "node:path";
import { ImgbuildError } from "../errors.js";
import type { Content } from "./node.js";
import { fileContent, sourceError } from "./source-file.js";

/** The content of the file at `file`, symlinks followed. Throws `source-missing`, or `source-invalid` for no regular file. */
export function hostFile(file: string): Content {
  const stat = fs.statSync(file, { bigint: true, throwIfNoEntry: false });
  if (stat === undefined) {
    throw new ImgbuildError("source-missing", `${file} does not exist`, { hint: "Check the path." });
  }
  if (!stat.isFile()) {
    throw new ImgbuildError("source-invalid", `${file} is not a regular file`, { hint: "Name a file." });
  }
  return fileContent(fs.realpathSync(file), stat, () => file);
}

/**
 * The regular files in a folder by their paths below it, "/" between names; with `recursive` those in its folders too.
 * Symlinks count as what they lead to, because build systems leave a kernel under its version and a link under its name;
 * links that lead nowhere and links to folders are left out.
 */
export function filesInFolder(folder: string, options: { recursive: boolean }): Map<string, Content> {
  const files = new Map<string, Content>();
  const visit = (prefix: string) => {
    let entries: fs.Dirent[];
    try {
      entries = fs.readdirSync(path.join(folder, prefix), { withFileTypes: true });
    } catch (error) {
      throw sourceError(path.join(folder, prefix), error);
    }
    for (const entry of entries) {
      const name = `${prefix}${entry.name}`;
      const file = path.join(folder, name);
      if (entry.isDirectory()) {
        if (options.recursive) visit(`${name}/`);
      } else if (fs.statSync(file, { throwIfNoEntry: false })?.isFile()) {
        files.set(name, hostFile(file));
      }
    }
  };
  visit("");
  return files;
}
