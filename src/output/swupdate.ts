/**
 * update.swu: what SWUpdate installs. A cpio archive with sw-description, a text in libconfig's syntax, as its first member, and the root
 * behind it. It is not signed: that takes a key, which is not imgbuild's to hold; docs/outputs.md has the commands.
 */
import { ImgbuildError } from "../errors.js";
import type { Plan } from "../image/plan.js";
import { CPIO_END, cpioMemberHeader } from "../tree/cpio.js";
import type { AppendedFile, Output } from "./output.js";
import { ROOT_FILE, type UpdateSlot, updateRoot, updateSlots } from "./update-slots.js";

const FILE_MODE = 0o100644;
/** SWUpdate reads archives that are padded as cpio(1) pads them. */
const BLOCK = 512;

export const swupdate: Output = {
  check(plan) {
    updateSlots(plan, "swupdate");
  },

  async write(built, folder) {
    const { plan, options } = built;
    options.stage?.("update.swu");
    const root = await updateRoot(built);
    if (root.size >= 2 ** 32) {
      throw new ImgbuildError(
        "not-representable",
        `the root has ${root.size} bytes, and a file in a .swu less than 4 GiB`,
        {
          hint: "Use a compressor that makes it smaller, or leave the output swupdate out.",
        },
      );
    }
    const description = Buffer.from(swDescription(plan, updateSlots(plan, "swupdate"), root.sha256));
    const swu = folder.append("update.swu");
    const fields = { mode: FILE_MODE, mtime: Math.min(Math.max(options.time, 0), 2 ** 32 - 1) };
    await swu.write(cpioMemberHeader("sw-description", { ...fields, inode: 1, fileSize: description.length }));
    await swu.write(description);
    await pad(swu, 4);
    await swu.write(cpioMemberHeader(ROOT_FILE, { ...fields, inode: 2, fileSize: root.size }));
    for await (const piece of root.pieces()) await swu.write(piece);
    await pad(swu, 4);
    await swu.write(cpioMemberHeader(CPIO_END, {}));
    await pad(swu, BLOCK);
  },
};

async function pad(file: AppendedFile, align: number): Promise<void> {
  await file.write(new Uint8Array(-file.size & (align - 1)));
}

/** With two slots a set of images for each, of which `swupdate -e stable,a` or `stable,b` installs one. */
function swDescription(plan: Plan, slots: readonly UpdateSlot[], sha256: string): string {
  const { update, profile, description } = plan;
  const images = ({ device }: UpdateSlot) => [
    "images: (",
    `  { filename = "${ROOT_FILE}"; type = "raw"; device = "${device}"; sha256 = "${sha256}"; installed-directly = true; }`,
    ");",
  ];
  const named = (name: string, slot: UpdateSlot) => [
    `${name} = {`,
    ...indented([...images(slot), `bootenv: ( { name = "root_part"; value = "${slot.rootPart}"; } );`]),
    "};",
  ];
  const [first, second] = slots;
  return [
    "software = {",
    ...indented([
      `version = "${update.version ?? "0"}";`,
      `description = "${profile}: ${description.replace(/[^\x20-\x7e]|["\\]/g, "?")}";`,
      `hardware-compatibility = [ "${update.hardware ?? "1.0"}" ];`,
      ...(second === undefined
        ? images(first!)
        : ["stable = {", ...indented([...named("a", first!), ...named("b", second)]), "};"]),
    ]),
    "};",
    "",
  ].join("\n");
}

const indented = (lines: readonly string[]) => lines.map((line) => `  ${line}`);
