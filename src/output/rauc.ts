/**
 * What RAUC needs: the folder that `rauc bundle` makes a bundle of, the device's system.conf, and the script by which RAUC tells
 * the boot script which slot to boot. The bundle itself takes a key, which is not imgbuild's to hold; docs/outputs.md has the command.
 */
import { ImgbuildError } from "../errors.js";
import type { Plan } from "../image/plan.js";
import type { Output } from "./output.js";
import { ROOT_FILE, type UpdateSlot, updateRoot, updateSlots } from "./update-slots.js";

/** Where system.conf expects the script, and the certificate that bundles are checked with. */
const BACKEND = "/usr/lib/rauc/imgbuild-backend.sh";
const KEYRING = "/etc/rauc/keyring.pem";

export const rauc: Output = {
  check(plan) {
    slotsOf(plan);
  },

  async write(built, folder) {
    const { plan } = built;
    const slots = slotsOf(plan);
    built.options.stage?.("rauc");
    const text = async (name: string, lines: readonly string[]) => {
      const bytes = Buffer.from(lines.map((line) => `${line}\n`).join(""));
      await folder.create(name, bytes.length).write(0, bytes);
    };
    await text("rauc/bundle/manifest.raucm", manifest(plan));
    const file = folder.append(`rauc/bundle/${ROOT_FILE}`);
    for await (const piece of (await updateRoot(built)).pieces()) await file.write(piece);
    await text("rauc/system.conf", systemConf(plan, slots));
    await text("rauc/imgbuild-backend.sh", backend(slots));
  },
};

function slotsOf(plan: Plan): readonly [UpdateSlot, UpdateSlot] {
  const [a, b] = updateSlots(plan, "rauc");
  if (a !== undefined && b !== undefined) return [a, b];
  throw new ImgbuildError(
    "profile-invalid",
    `the output rauc cannot be made for ${plan.profile}: it has one root only`,
    {
      hint: "Add a second partition with the role rootfs: RAUC writes the slot that does not run.",
    },
  );
}

const compatible = ({ update, profile }: Plan) => update.compatible ?? profile;

/** `rauc bundle` adds sizes and hashes. */
const manifest = (plan: Plan) => [
  "[update]",
  `compatible=${compatible(plan)}`,
  `version=${plan.update.version ?? "0"}`,
  "",
  "[bundle]",
  "format=verity",
  "",
  "[image.rootfs]",
  `filename=${ROOT_FILE}`,
];

function systemConf(plan: Plan, slots: readonly UpdateSlot[]): string[] {
  return [
    "[system]",
    `compatible=${compatible(plan)}`,
    "bootloader=custom",
    "bundle-formats=-plain",
    "",
    "[keyring]",
    `path=${KEYRING}`,
    "",
    "[handlers]",
    `bootloader-custom-backend=${BACKEND}`,
    ...slots.flatMap(({ device }, index) => [
      "",
      `[slot.rootfs.${index}]`,
      `device=${device}`,
      "type=raw",
      `bootname=${"AB"[index]}`,
    ]),
  ];
}

/** The custom bootloader backend (RAUC's manual, "Custom"): which slot is booted is root_part of U-Boot's environment. */
const backend = ([a, b]: readonly [UpdateSlot, UpdateSlot]) => [
  "#!/bin/sh",
  "# RAUC's custom bootloader backend: the boot script boots the partition in root_part of U-Boot's environment.",
  "set -eu",
  "case $1 in",
  "get-primary)",
  "	case $(fw_printenv -n root_part 2>/dev/null || true) in",
  `	${b.rootPart}) echo B ;;`,
  "	*) echo A ;;",
  "	esac",
  "	;;",
  "set-primary)",
  "	case $2 in",
  `	A) fw_setenv root_part ${a.rootPart} ;;`,
  `	B) fw_setenv root_part ${b.rootPart} ;;`,
  "	*) exit 1 ;;",
  "	esac",
  "	;;",
  'get-state) fw_printenv -n "rauc_state_$2" 2>/dev/null || echo good ;;',
  'set-state) fw_setenv "rauc_state_$2" "$3" ;;',
  "*) exit 1 ;;",
  "esac",
];
