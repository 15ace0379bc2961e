/**
 * fakeroot and pseudo keep owners, modes and device nodes that the user could not really set in a database, and a library
 * that they preload answers libc's calls from it. Node calls the kernel past libc and sees the real files: plain ones in
 * place of devices. So the metadata has to come from a program that uses libc, started in the same environment.
 */
import { type ByteString, fromBytes } from "../bytes/bytestring.js";
import { ImgbuildError } from "../errors.js";
import { splitPath } from "./tree.js";

/** Whether fakeroot or pseudo answers for libc in `environment`. */
export function isFakeroot(environment: NodeJS.ProcessEnv = process.env): boolean {
  if (environment.FAKEROOTKEY) return true;
  // Yocto exports PSEUDO_ variables to every task; only the library counts, and that it has not been told to keep still.
  return /libpseudo/.test(environment.LD_PRELOAD ?? "") && !/^[1-9]/.test(environment.PSEUDO_DISABLED ?? "");
}

export interface LibcStat {
  /** st_mode, type and all. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly major: number;
  readonly minor: number;
}

/**
 * What libc says of everything below `folder`, or of `paths` in it alone, by path from it. Through find or xargs, and
 * stat: that way only names and numbers go through the pipe, where an archive would carry every byte of the tree.
 */
export async function readLibcStats(folder: string, paths?: readonly ByteString[]): Promise<Map<ByteString, LibcStat>> {
  const { nulTerminated, runProgram } = await import("./host-program.js");
  const stats = new Map<ByteString, LibcStat>();
  const stat = ["stat", "--printf=%f %u %g %t %T %n\\0"];
  const [command, args] =
    paths === undefined
      ? (["find", [".", "-exec", ...stat, "{}", "+"]] as const)
      : (["xargs", ["-0", ...stat]] as const);
  const read = async (output: AsyncIterable<Uint8Array>) => {
    let rest = "";
    for await (const chunk of output) {
      const records = (rest + fromBytes(chunk)).split("\0");
      rest = records.pop()!;
      for (const record of records) {
        const [, mode, uid, gid, major, minor, path] = /^(\w+) (\d+) (\d+) (\w+) (\w+) (.*)$/s.exec(record)!;
        stats.set(splitPath(path as ByteString).join("/") as ByteString, {
          mode: Number.parseInt(mode!, 16),
          uid: Number(uid),
          gid: Number(gid),
          major: Number.parseInt(major!, 16),
          minor: Number.parseInt(minor!, 16),
        });
      }
    }
  };
  const { exitCode, complaint } = await runProgram(command, args, folder, read, paths && nulTerminated(paths));
  if (exitCode !== 0) {
    throw new ImgbuildError(
      exitCode === undefined ? "tool-missing" : "io-failed",
      `cannot read owners and devices as fakeroot or pseudo has them: ${complaint.split("\n")[0] || `there is no ${command}`}`,
      { hint: "GNU find and stat (packages findutils and coreutils) are needed below fakeroot and pseudo." },
    );
  }
  return stats;
}
