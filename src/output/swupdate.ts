/**
 * update.swu: what SWUpdate installs. A cpio archive with sw-description, a text in libconfig's syntax, as its first member; its
 * signature, where the profile has a certificate and a key; and the root.
 */
import { createHash } from "node:crypto";
import { ImgbuildError } from "../errors.js";
import type { Plan } from "../image/plan.js";
import { CPIO_END, cpioMemberHeader } from "../tree/cpio.js";
import { pieces } from "./blocks.js";
import type { AppendedFile, Output } from "./output.js";
import { runSigner, type Signer, signerOf } from "./signer.js";
import { noteVersion, ROOT_FILE, rootPlace, type UpdateSlot, updateSlots, updateVersion } from "./update-slots.js";

const BUNDLE = "update.swu";
const FILE_MODE = 0o100644;
/** SWUpdate reads archives that are padded as cpio(1) pads them. */
const BLOCK = 512;

export const swupdate: Output = {
  check(plan) {
    updateSlots(plan, "swupdate");
    signerOf(plan);
  },

  async write(built, folder) {
    const { plan, options, image } = built;
    const slots = updateSlots(plan, "swupdate");
    options.stage?.(BUNDLE);
    const { start, size } = rootPlace(built);
    if (size >= 2 ** 32) {
      throw new ImgbuildError("not-representable", `the root has ${size} bytes, and a file in a .swu less than 4 GiB`, {
        hint: "Use a compressor that makes it smaller, or leave the output swupdate out.",
      });
    }
    const root = async function* () {
      for await (const { bytes } of pieces(image, start, start + size)) yield bytes;
    };
    const hash = createHash("sha256");
    for await (const bytes of root()) hash.update(bytes);
    const description = Buffer.from(swDescription(plan, slots, hash.digest("hex")));
    const signer = signerOf(plan);

    const swu = folder.append(BUNDLE);
    const mtime = Math.min(Math.max(options.time, 0), 2 ** 32 - 1);
    let inode = 0;
    const member = async (
      name: string,
      fileSize: number,
      content: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
    ) => {
      inode++;
      await swu.write(cpioMemberHeader(name, { mode: FILE_MODE, mtime, inode, fileSize }));
      for await (const bytes of content) await swu.write(bytes);
      await pad(swu, 4);
    };
    await member("sw-description", description.length, [description]);
    if (signer !== undefined) {
      const signature = await sign(description, signer);
      await member("sw-description.sig", signature.length, [signature]);
    }
    await member(ROOT_FILE, size, root());
    await swu.write(cpioMemberHeader(CPIO_END, {}));
    await pad(swu, BLOCK);
    noteVersion(built, BUNDLE);
    if (slots.length > 1) return;
    const set = setNames(slots)[0]!;
    options.observer?.notice?.(
      `${BUNDLE} writes over ${slots[0]!.device}, the one root: only from a rescue system, \`swupdate -e stable,${set} -i ${BUNDLE}\``,
    );
  },
};

async function pad(file: AppendedFile, align: number): Promise<void> {
  await file.write(new Uint8Array(-file.size & (align - 1)));
}

/** A CMS signature, as SWUpdate checks it, without the time: with an RSA key the same each time. */
async function sign(bytes: Uint8Array, { certificate, key }: Signer): Promise<Uint8Array> {
  const args = [
    "cms",
    "-sign",
    "-binary",
    "-nosmimecap",
    "-noattr",
    "-outform",
    "DER",
    "-signer",
    certificate,
    "-inkey",
    key,
  ];
  const signature = await runSigner("openssl", args, { input: [bytes] });
  if (signature !== undefined) return signature;
  throw new ImgbuildError("tool-missing", "update.swu cannot be signed: openssl is not installed", {
    hint: "Install openssl, or leave update.certificate and update.key out.",
  });
}

/**
 * A set of images for each slot: `swupdate -e stable,a` or `stable,b` installs one. Where there is one root, the set has to be
 * named too: without -e, SWUpdate would write over the root that it runs from.
 */
function swDescription(plan: Plan, slots: readonly UpdateSlot[], sha256: string): string {
  const { update, profile, description } = plan;
  const sets = slots.flatMap(({ device, rootPart }, index) => [
    `${setNames(slots)[index]} = {`,
    ...indented([
      "images: (",
      `  { filename = "${ROOT_FILE}"; type = "raw"; device = "${device}"; sha256 = "${sha256}"; installed-directly = true; }`,
      ");",
      ...(slots.length > 1 ? [`bootenv: ( { name = "root_part"; value = "${rootPart}"; } );`] : []),
    ]),
    "};",
  ]);
  return [
    "software = {",
    ...indented([
      `version = "${updateVersion(plan)}";`,
      `description = "${escaped(`${profile}: ${description}`)}";`,
      `hardware-compatibility = [ "${update.hardware ?? "1.0"}" ];`,
      "stable = {",
      ...indented(sets),
      "};",
    ]),
    "};",
    "",
  ].join("\n");
}

const setNames = (slots: readonly UpdateSlot[]) => (slots.length > 1 ? ["a", "b"] : ["rescue"]);

/** As libconfig has text between quotes: bytes of any encoding, with escapes for what would end it, and for control characters. */
const escaped = (text: string) =>
  text
    .replace(/["\\]/g, "\\$&")
    // biome-ignore lint/suspicious/noControlCharactersInRegex: those are meant
    .replace(/[\x00-\x1f\x7f]/g, (control) => `\\x${control.charCodeAt(0).toString(16).padStart(2, "0")}`);

const indented = (lines: readonly string[]) => lines.map((line) => `  ${line}`);
