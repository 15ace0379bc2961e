/** Single files of the host that are no part of a tree: kernels, device trees, bootloaders. */
import * as fs from "node:fs";
import * as path from "node:path";
import { type ByteString, fromText } from "../bytes/bytestring.js";
import { type ErrorCode, ImgbuildError } from "../errors.js";
import { type Content, timestamp } from "./node.js";
import { fileContent, sourceError } from "./source-file.js";

/**
 * The content of the file at `file`, symlinks followed. Throws `source-missing`, `source-invalid` for no regular file and
 * for symlinks in a circle, `source-unreadable`, or `io-failed`.
 */
export function hostFile(file: string): Content {
  try {
    const stat = fs.statSync(file, { bigint: true });
    if (stat.isFile()) {
      const name = fromText(fs.realpathSync(file));
      return fileContent({
        folder: "" as ByteString,
        name,
        size: Number(stat.size),
        mtime: timestamp(stat.mtimeNs),
        shown: file,
      });
    }
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR") {
      throw new ImgbuildError("source-missing", `${file} does not exist`, { hint: "Check the path.", cause: error });
    }
    if (code === "ELOOP") {
      throw new ImgbuildError("source-invalid", `${file} leads through symlinks that point at each other in a circle`, {
        hint: "Remove or mend one of them.",
        cause: error,
      });
    }
    throw sourceError(file, error);
  }
  throw new ImgbuildError("source-invalid", `${file} is not a regular file`, { hint: "Name a file." });
}

/**
 * The regular files in a folder by their paths below it, "/" between names; with `recursive` those in its folders too.
 * Symlinks count as what they lead to, because build systems leave a kernel under its version and a link under its name.
 * Left out are links that lead nowhere, in a circle or to folders, and what this user may not look at: what lies beside the
 * files that are wanted must not be in the way. A file that may be seen but not read is an error when it is read.
 *
 * Throws when the folder itself cannot be read, but without `recursive` there are no files then: a caller that looks beside
 * something else, which may be in anybody's folder, need not find any.
 */
export function filesInFolder(folder: string, options: { recursive: boolean }): Map<string, Content> {
  const files = new Map<string, Content>();
  const visit = (prefix: string) => {
    for (const entry of entriesOf(path.join(folder, prefix), prefix === "" && options.recursive)) {
      const name = `${prefix}${entry.name}`;
      if (entry.isDirectory()) {
        if (options.recursive) visit(`${name}/`);
        continue;
      }
      try {
        files.set(name, hostFile(path.join(folder, name)));
      } catch (error) {
        if (!(error instanceof ImgbuildError) || !LEFT_OUT.has(error.code)) throw error;
      }
    }
  };
  visit("");
  return files;
}

/** What says that an entry is none of the files that are looked for. */
const LEFT_OUT: ReadonlySet<ErrorCode> = new Set(["source-missing", "source-invalid", "source-unreadable"]);

/** The entries of a folder; unless it is `needed`, one that this user may not read has none. */
function entriesOf(folder: string, needed: boolean): fs.Dirent[] {
  try {
    return fs.readdirSync(folder, { withFileTypes: true });
  } catch (error) {
    const failure = sourceError(folder, error);
    if (!needed && failure.code === "source-unreadable") return [];
    throw failure;
  }
}
