/** A U-Boot console with as much as the printed recipes use: memory, a USB stick, and an eMMC with its hardware partitions. */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";

/** What U-Boot counts in, whatever the medium's sectors are. */
const BLOCK = 512;
const LOADED_AT = 0x1000;

/** Runs commands as U-Boot does: its numbers are hexadecimal, with 0x in front or without. Throws for what it does not know. */
export class UbootConsole {
  /** By hardware partition: 0 is the user area, 1 boot0. */
  readonly areas: readonly Buffer[];
  /** What `mmc partconf` has set: acknowledge, boot partition, access. */
  bootConfig: readonly number[] | undefined;
  readonly #mmc: string;
  readonly #stick: string;
  readonly #memory: Buffer;
  #usb = false;
  #area: number | undefined;

  /** `mmc`: the eMMC's number; `stick`: a folder. */
  constructor(mmc: number, stick: string, areas: readonly Buffer[]) {
    this.#mmc = `${mmc}`;
    this.#stick = stick;
    this.areas = areas;
    this.#memory = Buffer.alloc(LOADED_AT + Math.max(...areas.map(({ length }) => length)), 0x5a);
  }

  run(line: string): void {
    const words = line.split(" ").map((word) => (word === "$" + "{loadaddr}" ? LOADED_AT.toString(16) : word));
    assert.ok(!words.some((word) => /[$;&|'"]/.test(word)), line);
    const [command, ...args] = words as [string, ...string[]];
    const numbers = (texts: readonly string[]) =>
      texts.map((text) => {
        assert.match(text, /^(?:0x)?[0-9a-f]+$/i, line);
        return Number.parseInt(text, 16);
      });
    switch (command === "mmc" ? `mmc ${args.shift()}` : command) {
      case "usb":
        assert.deepEqual(args, ["start"]);
        this.#usb = true;
        return;
      case "load": {
        const [kind, device, address, file, ...others] = args;
        assert.deepEqual([this.#usb, kind, device, others], [true, "usb", "0:1", []], line);
        fs.readFileSync(path.join(this.#stick, file!)).copy(this.#memory, numbers([address!])[0]!);
        return;
      }
      case "mmc dev": {
        assert.equal(args[0], this.#mmc, line);
        this.#area = numbers([args[1] ?? "0"])[0]!;
        return;
      }
      case "mmc write": {
        assert.equal(args.length, 3, line);
        const [from, first, count] = numbers(args) as [number, number, number];
        const area = this.areas[this.#area!]!;
        assert.ok((first + count) * BLOCK <= area.length, `${line}: past the end`);
        this.#memory.copy(area, first * BLOCK, from, from + count * BLOCK);
        return;
      }
      case "mmc partconf":
        assert.equal(args[0], this.#mmc, line);
        this.bootConfig = numbers(args.slice(1));
        return;
    }
    throw new Error(`U-Boot does not know: ${line}`);
  }
}
