/**
 * RAUC: the bundle, or what `rauc bundle` makes one of; the device's system.conf; and the script by which RAUC tells the boot
 * script which slot to boot. A bundle is always signed: it is made where the profile has a certificate and a key, by rauc.
 */
import * as fs from "node:fs";
import * as path from "node:path";
import { FileDevice } from "../bytes/file-device.js";
import { ImgbuildError } from "../errors.js";
import { copyContent } from "../image/copy-content.js";
import type { Plan } from "../image/plan.js";
import { hostFile } from "../tree/host-files.js";
import { copyRange } from "./blocks.js";
import type { ArtifactFolder, BuiltImage, Output } from "./output.js";
import { runSigner, type Signer, signerOf } from "./signer.js";
import { noteVersion, ROOT_FILE, rootPlace, type UpdateSlot, updateSlots, updateVersion } from "./update-slots.js";

/** Where system.conf expects the script, and the certificate that bundles are checked with. */
const BACKEND = "/usr/lib/rauc/imgbuild-backend.sh";
const KEYRING = "/etc/rauc/keyring.pem";

const MANIFEST = "manifest.raucm";
const INPUTS = "rauc/bundle";
const BUNDLE = "update.raucb";

export const rauc: Output = {
  check(plan) {
    slotsOf(plan);
    signerOf(plan);
  },

  async write(built, folder) {
    const { plan, options } = built;
    const slots = slotsOf(plan);
    options.stage?.("rauc");
    const write = async (name: string, bytes: Uint8Array) => folder.create(name, bytes.length).write(0, bytes);
    await write("rauc/system.conf", text(systemConf(plan, slots)));
    await write("rauc/imgbuild-backend.sh", text(backend(slots)));
    const signer = signerOf(plan);
    if (signer !== undefined && (await runSigner("rauc", ["--version"])) !== undefined) {
      await makeBundle(built, signer, folder);
      noteVersion(built, BUNDLE);
      return;
    }
    await write(`${INPUTS}/${MANIFEST}`, text(manifest(plan)));
    const { start, size } = rootPlace(built);
    await copyRange(built.image, start, size, folder.create(`${INPUTS}/${ROOT_FILE}`, size));
    noteVersion(built, `${INPUTS}/${MANIFEST}`);
    const { certificate, key } = signer ?? { certificate: "cert.pem", key: "key.pem" };
    const why = signer === undefined ? "the profile has no update.certificate and update.key" : "there is no rauc here";
    options.observer?.notice?.(
      `${why}: \`rauc bundle --cert=${certificate} --key=${key} ${INPUTS} ${BUNDLE}\`, in the output folder, makes the bundle`,
    );
  },
};

/** Has rauc make the bundle, in a folder of its own: it changes the manifest that it is given, and leaves half a bundle when it fails. */
async function makeBundle(built: BuiltImage, { certificate, key }: Signer, folder: ArtifactFolder): Promise<void> {
  const work = fs.mkdtempSync(path.join(folder.scratch, "rauc-"));
  try {
    const inputs = path.join(work, "bundle");
    fs.mkdirSync(inputs);
    fs.writeFileSync(path.join(inputs, MANIFEST), text(manifest(built.plan)));
    const { start, size } = rootPlace(built);
    const root = new FileDevice(path.join(inputs, ROOT_FILE), size);
    try {
      await copyRange(built.image, start, size, root);
    } finally {
      root.close();
    }
    // The root is compressed as it is.
    const args = ["--mksquashfs-args=-noD -noF", `--cert=${certificate}`, `--key=${key}`];
    await runSigner("rauc", ["bundle", ...args, inputs, path.join(work, BUNDLE)]);
    const bundle = hostFile(path.join(work, BUNDLE));
    await copyContent(folder.create(BUNDLE, bundle.size), 0, bundle);
  } finally {
    fs.rmSync(work, { recursive: true, force: true });
  }
}

const text = (lines: readonly string[]) => Buffer.from(lines.map((line) => `${line}\n`).join(""));

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
  `version=${updateVersion(plan)}`,
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
