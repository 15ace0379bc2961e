/** What `imgbuild flash` tells and asks before it overwrites a device. */
import { once } from "node:events";
import { createInterface } from "node:readline/promises";
import { safeText } from "../bytes/bytestring.js";
import { formatSize } from "../bytes/size.js";
import { ImgbuildError } from "../errors.js";
import type { BlockDevice } from "../flash/block-device.js";
import { describeMedium } from "../flash/describe-medium.js";
import type { Medium } from "../flash/medium.js";
import type { ImageFacts } from "../flash/refusals.js";
import type { Reporter } from "./progress.js";

interface Overwriting {
  readonly medium: Medium;
  readonly device: BlockDevice | undefined;
  readonly image: ImageFacts;
}

/** Shows what is going to be overwritten, and asks. Throws a `usage` error where nobody can be asked, and where the answer is no. */
export async function consent(
  { yes, quiet }: { readonly yes: boolean; readonly quiet: boolean },
  { medium, device, image }: Overwriting,
): Promise<void> {
  if (yes && quiet) return;
  const lines = [`${image.path} (${formatSize(image.size)}) goes onto`, ...(await describeMedium(medium, device))];
  process.stderr.write(lines.map((line) => `${safeText(line)}\n`).join(""));
  if (yes) return;
  if (!process.stdin.isTTY || !process.stderr.isTTY) {
    throw new ImgbuildError("usage", `${medium.path} would be overwritten, and there is no terminal to ask on`, {
      hint: "Say --yes if it is the right one.",
    });
  }
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    // Ctrl-C and Ctrl-D close the terminal, and leave the question without an answer.
    const closed = once(terminal, "close").then(() => "");
    terminal.once("SIGINT", () => terminal.close());
    const question = safeText(`All of it is lost. Overwrite ${medium.path}? Type yes: `);
    const answer = await Promise.race([terminal.question(question), closed]);
    if (answer.trim().toLowerCase() === "yes") return;
  } finally {
    terminal.close();
  }
  throw new ImgbuildError("usage", `${medium.path} is as it was: the answer was not yes`, {
    hint: "Nothing was written.",
  });
}

/** What the checks and the verification cannot do on this host. */
export function tellLimits(
  medium: Medium,
  device: BlockDevice | undefined,
  { verify }: { readonly verify: boolean },
  reporter: Reporter,
): void {
  if (device === undefined && medium.isDevice) {
    reporter.notice(`this host does not tell what uses ${medium.path}: only the kernel's own refusal protects it`);
  }
  if (medium.isDevice && !medium.isDirect && verify) {
    reporter.notice(
      `${medium.path} cannot be read past the host's memory: what is read back may come from there. Take it out and back in, and compare again, to be sure`,
    );
  }
}
