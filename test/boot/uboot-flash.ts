/**
 * U-Boot's own environment, which Debian's U-Boot for QEMU's virt machine keeps at the start of the second flash chip
 * (CONFIG_ENV_IS_IN_FLASH), as a file on the host that fw_setenv changes as it would from Linux.
 */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import type { TestContext } from "node:test";
import type { Guest } from "../support/guest.js";
import { run, temporaryFolder } from "../support/tools.js";

/** Of each of the machine's two chips. */
const CHIP_SIZE = 64 * 2 ** 20;
/** CONFIG_ENV_SIZE of qemu_arm and qemu_arm64. */
const ENVIRONMENT_SIZE = 0x40000;

export class Flash {
  readonly #t: TestContext;
  readonly #chip: string;
  readonly #config: string;

  /** An empty one: U-Boot takes its default environment. */
  constructor(t: TestContext) {
    this.#t = t;
    const folder = temporaryFolder(t);
    this.#chip = path.join(folder, "flash");
    fs.writeFileSync(this.#chip, "");
    fs.truncateSync(this.#chip, CHIP_SIZE);
    this.#config = path.join(folder, "fw_env.config");
    fs.writeFileSync(this.#config, `${this.#chip} 0 0x${ENVIRONMENT_SIZE.toString(16)}\n`);
  }

  /** QEMU's arguments for a machine that has it. */
  get drive(): string[] {
    return ["-drive", `if=pflash,unit=1,format=raw,file=${this.#chip}`];
  }

  /** fw_setenv, which leaves all other variables as they are. */
  set(variables: Readonly<Record<string, string>>): void {
    for (const [name, value] of Object.entries(variables)) run("fw_setenv", ["-c", this.#config, name, value]);
  }

  get(name: string): string {
    return run("fw_printenv", ["-c", this.#config, "-n", name]).trimEnd();
  }

  /**
   * At the prompt of a machine that begins to boot: sets variables and saves them with saveenv, and cuts the power.
   *
   * The chip of some QEMUs, Debian 12's among them, fails where a sector is written behind its first 4 KiB (QEMU's "hw/pflash: implement update
   * buffer for block writes" without the later "hw/pflash: fix block write start", which is in 9.0.1). There U-Boot prints what
   * it would have saved, and its mkenvimage makes an environment of that.
   */
  async save(guest: Guest, variables: Readonly<Record<string, string>>): Promise<void> {
    const prompt = /^=> /m;
    await guest.waitFor("Hit any key to stop autoboot");
    guest.type("");
    await guest.waitFor(prompt);
    const enter = (line: string) => {
      guest.type(line);
      return guest.waitFor(prompt);
    };
    for (const [name, value] of Object.entries(variables)) await enter(`setenv ${name} '${value}'`);
    const said = await enter("saveenv");
    const printed = /^OK$/m.test(said) ? undefined : await enter("printenv");
    guest.kill();
    await guest.end();
    if (printed !== undefined) {
      assert.match(said, /Flash buffer write timeout/);
      this.#t.diagnostic("this QEMU's flash does not take saveenv: mkenvimage makes one of what printenv has printed");
      const text = `${this.#chip}.txt`;
      fs.writeFileSync(text, /^printenv\n([\s\S]*\n)\nEnvironment size: /.exec(printed)![1]!);
      run("mkenvimage", ["-s", `${ENVIRONMENT_SIZE}`, "-o", this.#chip, text]);
      fs.truncateSync(this.#chip, CHIP_SIZE);
    }
    for (const [name, value] of Object.entries(variables)) assert.equal(this.get(name), value);
  }
}
