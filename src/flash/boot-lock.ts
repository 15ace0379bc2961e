/** The lock of an eMMC's boot partition, which Linux lets nobody write until it is told to. */
import * as fs from "node:fs";
import { hostWriteError } from "../bytes/host-error.js";
import { ImgbuildError } from "../errors.js";
import type { BlockDevice } from "./block-device.js";

export class BootLock {
  readonly #device: BlockDevice | undefined;
  /** The file of sysfs, once the lock is open. */
  #opened: string | undefined;

  /** `device`: of any kind; those that are no boot partition have no lock. */
  constructor(device: BlockDevice | undefined) {
    this.#device = device;
  }

  /** Throws `device-refused` for a device that is read-only for another reason. */
  open(): void {
    const device = this.#device;
    if (device?.readOnly && device.lock === undefined) {
      throw new ImgbuildError("device-refused", `${device.name} is read-only`, {
        hint: "Look for the card's write protection switch; `blockdev --setrw` takes back what software set.",
      });
    }
    const lock = device?.isBootPartition ? device.lock : undefined;
    if (lock === undefined || fs.readFileSync(lock, "utf8").trim() !== "1") return;
    this.#opened = lock;
    set(lock, "0");
  }

  /** As it was before it was opened. Doing that again does nothing. */
  close(): void {
    const lock = this.#opened;
    this.#opened = undefined;
    if (lock !== undefined) set(lock, "1");
  }
}

function set(lock: string, value: string): void {
  try {
    fs.writeFileSync(lock, value);
  } catch (error) {
    throw hostWriteError(lock, error);
  }
}
