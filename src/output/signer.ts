/** Who signs the bundles of update programs. imgbuild itself never reads the key: the program that signs does. */
import * as fs from "node:fs";
import { ImgbuildError } from "../errors.js";
import type { Plan } from "../image/plan.js";
import { type ProgramOutput, runProgram } from "../tree/host-program.js";

/** Paths of PEM files on the host. */
export interface Signer {
  readonly certificate: string;
  readonly key: string;
}

/**
 * What the profile says of it; undefined: bundles are not signed here. Throws `profile-invalid` for one without the other,
 * `source-missing` for a file that is not there.
 */
export function signerOf({ update }: Plan): Signer | undefined {
  const { certificate, key } = update;
  for (const [name, file] of Object.entries({ certificate, key })) {
    if (file === undefined || fs.statSync(file, { throwIfNoEntry: false })?.isFile()) continue;
    throw new ImgbuildError("source-missing", `update.${name}: there is no file ${file}`, {
      hint: "Its path counts from the profile's folder; with --set, from where imgbuild runs.",
    });
  }
  if (certificate !== undefined && key !== undefined) return { certificate, key };
  if (certificate === undefined && key === undefined) return undefined;
  const [given, lacking] = key === undefined ? ["certificate", "key"] : ["key", "certificate"];
  throw new ImgbuildError("profile-invalid", `update.${given} is of no use without update.${lacking}`, {
    hint: `Set update.${lacking} too, or leave update.${given} out: then bundles are not signed.`,
  });
}

/** Runs a program that signs. Returns what it printed; undefined: there is none. Throws `io-failed` with its own words when it fails. */
export async function runSigner(
  program: string,
  args: readonly string[],
  { folder = ".", input = [] }: { folder?: string; input?: readonly Uint8Array[] } = {},
): Promise<Uint8Array | undefined> {
  const printed: Uint8Array[] = [];
  const { exitCode, complaint }: ProgramOutput = await runProgram(
    program,
    args,
    folder,
    async (output) => {
      for await (const piece of output) printed.push(piece);
    },
    input,
  );
  if (exitCode === undefined) return undefined;
  if (exitCode === 0) return Buffer.concat(printed);
  // OpenSSL's own lines come first, and what the program says of them last.
  const reason = complaint.split("\n").at(-1) || `exit code ${exitCode}`;
  throw new ImgbuildError("io-failed", `${program} cannot sign the bundle: ${reason}`, {
    hint: "Check update.certificate and update.key.",
    data: { complaint },
  });
}
