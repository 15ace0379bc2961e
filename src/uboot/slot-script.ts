// biome-ignore-all lint/suspicious/noTemplateCurlyInString: these placeholders are hush's
/**
 * The part of the boot script that chooses one of two root slots, and counts how often a new one was tried. docs/device.md says what
 * comes of it, docs/decisions/0017 why it is so.
 *
 * What it goes by is in an environment of U-Boot's format of its own on the disk, which Linux can reach wherever U-Boot keeps its
 * own: `block` has it, and the block behind that what was before the last change. Whoever changes it first copies the one
 * that is valid to the second place, and then writes the first; so a power cut leaves the old or the new.
 *
 *     slots_id           the PARTUUID of slot A: of another installation's it is as if there were none
 *     root_part          the slot to boot, in hexadecimal
 *     root_old           the one to fall back to; none where the other slot holds nothing that works
 *     root_failed        the one that was given up last
 *     root_hash_N        of the root in the slot N, where there is dm-verity and it has been updated
 *     trial_note         overlayctl's alone (slots.sh): back, where root_part had been confirmed before; and by digests of eight
 *                        digits what did not work with root_old; commas between them
 *     upgrade_available  1 while root_part is on trial
 *     bootcount          how often it has been started on trial, from 1 to bootlimit
 *     bootlimit          how often it may be
 */

/** Two slots for the root, and where it is kept which of them is to be booted. */
export interface BootSlots {
  /** In bytes from the disk's start: two copies of `SLOT_ENVIRONMENT_SIZE`. Whole sectors. */
  readonly environmentAt: number;
  /** Bytes in a sector of the disk. */
  readonly sectorSize: number;
  /** The numbers of the slots A and B. */
  readonly partitions: readonly [number, number];
  /** Of what the image has in slot A, in hexadecimal, where the kernel checks the root by it. */
  readonly rootHash?: string | undefined;
}

/** Length of a copy, in bytes: a whole sector of any medium, and a page of what Linux writes. */
export const SLOT_ENVIRONMENT_SIZE = 4096;

/** Eight, and two root hashes: with what else is on the line, a command of U-Boot's may have 16 words (CONFIG_SYS_MAXARGS). */
const VARIABLES = [
  ...["slots_id", "root_part", "root_old", "root_failed", "trial_note"],
  ...["upgrade_available", "bootcount", "bootlimit"],
];

const hex = (value: number) => value.toString(16);
const SIZE = hex(SLOT_ENVIRONMENT_SIZE);

/**
 * Lines that set boot_root to the number of the partition to boot, where `first` is slot A, and what Linux has to be told: boot_slots
 * to slot A's PARTUUID, which it writes into the environment, and boot_trial to 0, or to "1/3" for the first try of three. A
 * root_part of U-Boot's own environment is taken as it is: somebody else counts then, or wants to boot that slot once; boot_trial
 * is empty then. With a root hash, boot_hash is set to that of the root in that partition; to nothing where it is not known.
 *
 * A new root is only tried after that try has been counted on the disk, and been read back: where writing does not work,
 * or U-Boot lacks a command for it, the old one is booted, for ever rather than not at all.
 *
 * When the tries are used up, and that has been noted on the disk, U-Boot's altbootcmd is run, where it is set; should it return, the old root
 * is booted.
 */
export function chooseSlot({ environmentAt, sectorSize, partitions, rootHash }: BootSlots): string[] {
  const [first, second] = partitions;
  const count = hex(SLOT_ENVIRONMENT_SIZE / sectorSize);
  const block = environmentAt / sectorSize;
  const [current, before] = [hex(block), hex(block + SLOT_ENVIRONMENT_SIZE / sectorSize)];
  // The kernel's place is still free.
  const transfer = (what: "read" | "write", at: string) => `\${boot_devtype} ${what} \${kernel_addr_r} ${at} ${count}`;
  const read = (at: string) => `${transfer("read", at)} && env import -c \${kernel_addr_r} ${SIZE}`;
  const readOurs = (at: string) => `${read(at)} && test "\${slots_id}" = "\${boot_slots}"`;
  const hashes = rootHash === undefined ? [] : partitions.map((number) => `root_hash_${hex(number)}`);
  const variables = [...VARIABLES, ...hashes];
  const exported = `env export -c -s ${SIZE} \${kernel_addr_r} ${variables.join(" ")}`;
  const forget = variables.map((name) => `setenv ${name}`).join("; ");
  return [
    "# Which of the two root slots: docs/device.md of imgbuild, Updates.",
    "setenv boot_slots",
    "setenv boot_alt",
    "setenv boot_trial",
    `part uuid \${boot_devtype} \${boot_devnum}:${hex(first)} boot_slots`,
    'setenv boot_root "${root_part}"',
    `setenv boot_forget '${forget}'`,
    'if test -n "${boot_root}"; then',
    '  echo "root_part is set: booting partition ${boot_root}, uncounted"',
    ...(rootHash === undefined
      ? []
      : [
          "  run boot_forget",
          "  ${boot_devtype} dev ${boot_devnum}",
          `  if ${readOurs(current)}; then true; else`,
          "    run boot_forget",
          `    if ${readOurs(before)}; then true; else run boot_forget; fi`,
          "  fi",
        ]),
    "else",
    "  run boot_forget",
    "  setenv boot_trial 0",
    "  ${boot_devtype} dev ${boot_devnum}",
    // What is in memory is what was valid: that is kept before it is changed, where it is not the kept one already.
    `  if ${readOurs(current)}; then`,
    `    setenv boot_keep '${transfer("write", before)}'`,
    "  else",
    "    run boot_forget",
    "    setenv boot_keep true",
    `    if ${readOurs(before)}; then true; else run boot_forget; fi`,
    "  fi",
    `  setenv boot_save 'run boot_keep && ${exported} && ${transfer("write", current)}'`,
    // Read back, so that the count is known to be on the disk.
    `  setenv boot_saved 'mw.b \${kernel_addr_r} 0 ${SIZE}; setenv bootcount; ${read(current)}'`,
    `  test -n "\${root_part}" || setenv root_part ${hex(first)}`,
    '  setenv boot_root "${root_part}"',
    '  if test "${upgrade_available}" = 1; then',
    "    setenv boot_count",
    "    setexpr boot_count ${bootcount} + 1",
    // setexpr writes hexadecimal, and test reads decimal: what is compared has been one digit at most that is the same in both.
    '    if test -n "${boot_count}" && test "${bootcount}" -lt "${bootlimit}"; then',
    '      setenv bootcount "${boot_count}"',
    '      if run boot_save && run boot_saved && test "${bootcount}" = "${boot_count}"; then',
    '        echo "Trying the new root in partition ${boot_root}: ${boot_count} of ${bootlimit}"',
    '        setenv boot_trial "${boot_count}/${bootlimit}"',
    "      else",
    '        echo "The new root is not tried: that cannot be counted on the disk"',
    '        setenv boot_root "${root_old}"',
    "      fi",
    "    else",
    '      echo "The new root in partition ${boot_root} did not come up: back to partition ${root_old}"',
    '      setenv boot_root "${root_old}"',
    '      setenv root_failed "${root_part}"',
    '      setenv root_part "${root_old}"',
    "      setenv root_old; setenv trial_note",
    "      setenv upgrade_available 0",
    "      setenv bootcount 0",
    // Only once that is on the disk: altbootcmd may run this script again.
    '      if run boot_save && run boot_saved && test "${bootcount}" = 0; then',
    "        setenv boot_alt yes",
    "      else",
    '        echo "That cannot be noted on the disk; it is so at every boot"',
    "      fi",
    "    fi",
    "  fi",
    `  test -n "\${boot_root}" || setenv boot_root ${hex(first)}`,
    // A saveenv at the prompt would otherwise make them U-Boot's own, and nothing be counted any more.
    ...(rootHash === undefined
      ? ["  run boot_forget", "fi"]
      : ["fi", ...chooseHash(rootHash, first, second), "run boot_forget"]),
    // With root_part in U-Boot's memory, what it boots would take that for U-Boot's own.
    'if test -n "${boot_alt}" && test -n "${altbootcmd}"; then',
    '  echo "Running altbootcmd, which is set"',
    "  run altbootcmd",
    '  echo "altbootcmd has come back: booting partition ${boot_root}"',
    "fi",
  ];
}

/** Slot A begins with the root that the image has. hush has no names of variables that are made of others. */
function chooseHash(rootHash: string, first: number, second: number): string[] {
  const [hashA, hashB] = [first, second].map((number) => `"\${root_hash_${hex(number)}}"`);
  return [
    "setenv boot_hash",
    `if test "\${boot_root}" = ${hex(first)}; then`,
    `  setenv boot_hash ${hashA}`,
    `  test -n "\${boot_hash}" || setenv boot_hash ${rootHash}`,
    `elif test "\${boot_root}" = ${hex(second)}; then`,
    `  setenv boot_hash ${hashB}`,
    "fi",
  ];
}
