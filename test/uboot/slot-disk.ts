/**
 * A disk with two slots whose boot script a POSIX shell runs, as in boot-script.test.ts. Blocks of the disk are files; one with "ok"
 * in its first line has a right checksum. The disk is the first MMC device; no other has partitions.
 */
import * as fs from "node:fs";
import * as path from "node:path";
import type { TestContext } from "node:test";
import { run, temporaryFolder } from "../support/tools.js";

/** The blocks where the environment is: 8 KiB in front of 1 MiB, in hexadecimal. */
export const [CURRENT, BEFORE] = ["7f0", "7f8"];

const COMMANDS = `
setenv() { name=$1; shift; eval "$name=\\$*"; }
run() { eval "eval \\"\\$$1\\""; }
load() { return 0; }
part() { [ "$2 \${3%:*}" = "mmc 0" ] && eval "$4=$DISK-0\${3#*:}"; }
bootz() { echo "told \${bootargs}"; echo "boots \${boot_rootuuid#*-0}"; exit; }
setexpr() { [ -z "$NO_SETEXPR" ] && setenv $1 $(printf %x $((0x\${2:-0} + 0x$4))); }
# U-Boot's takes what is no number for 0, and so does not mind a hexadecimal one.
digits() { set -- "\${1%%[!0-9]*}"; echo "\${1:-0}"; }
test() {
  case $2 in
  -l?) [ $(digits "$1") $2 $(digits "$3") ] ;;
  *) command test "$@" ;;
  esac
}
mmc() {
  case $1 in
  dev) return 0 ;;
  read) [ "$4" = 8 ] && cp $3 mem ;;
  write)
    case $WRITES in none) return 1 ;; ignored) return 0 ;; esac
    CUT=$((CUT - 1))
    if [ $CUT = 0 ]; then echo torn >$3; echo cut; exit; fi
    cp mem $3
    ;;
  esac
}
env() {
  # CONFIG_SYS_MAXARGS, by default.
  if [ $# -gt 15 ]; then echo "env - environment handling commands"; return 1; fi
  case $1 in
  import)
    [ "$2 $4" = "-c 1000" ] && [ "$(head -n 1 mem)" = ok ] || return 1
    . ./mem
    ;;
  export)
    shift 5
    { echo ok; for name; do eval "value=\\$$name"; [ -z "$value" ] || echo "$name=$value"; done; } >mem
    ;;
  esac
}
`;

export type Environment = Record<string, string>;

/** A disk of the installation "ours", unless a boot is told another. */
export class SlotDisk {
  readonly #folder: string;
  // No shell has functions with a dot in their names.
  readonly #script: string;

  constructor(t: TestContext, script: string, ...blocks: (Environment | undefined)[]) {
    this.#folder = temporaryFolder(t);
    this.#script = script.replaceAll("mw.b", "true");
    for (const [i, name] of [CURRENT, BEFORE].entries()) this.write(name, blocks[i]);
  }

  /** Of this installation, unless the variables say another. */
  write(name: string, variables: Environment | undefined): void {
    const lines = Object.entries({ slots_id: "ours-02", ...variables }).map(([key, value]) => `${key}=${value}`);
    fs.writeFileSync(path.join(this.#folder, name), [variables ? "ok" : "torn", ...lines, ""].join("\n"));
  }

  read(name = CURRENT): Environment | undefined {
    const [first, ...lines] = fs.readFileSync(path.join(this.#folder, name), "utf8").trimEnd().split("\n");
    if (first !== "ok") return undefined;
    const { slots_id, ...variables } = Object.fromEntries(lines.map((line) => line.split("=")));
    return slots_id === "ours-02" ? variables : { slots_id, ...variables };
  }

  /** Which partition is the root; "cut" when the power failed; and all that was printed. */
  boot(environment: Environment = {}): { root: string; log: string } {
    const given = { devtype: "mmc", devnum: "0", kernel_addr_r: "K", DISK: "ours", CUT: "-9", ...environment };
    const values = Object.entries(given).map(([name, value]) => `${name}='${value}'`);
    const text = [...values, COMMANDS, this.#script].join("\n");
    const log = run("sh", ["-s"], { cwd: this.#folder, input: Buffer.from(text) });
    return { root: /^(?:boots )?(\S+)$/.exec(log.trimEnd().split("\n").at(-1)!)?.[1] ?? "", log };
  }
}
