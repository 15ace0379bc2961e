/** What a check has found and not yet told. */
import type { Finding } from "../../bytes/finding.js";
import { ImgbuildError } from "../../errors.js";

export class Report {
  #findings: Finding[] = [];
  /** Whether all blocks and all names could be followed: what is missing or too much is known only then. */
  blocksKnown = true;
  namesKnown = true;

  /** `offset` is where it shows, in bytes from the start of the file system. */
  error(message: string, offset: number): void {
    this.#findings.push({ severity: "error", message: `${message} (byte ${offset})`, offset });
  }

  warning(message: string, offset: number): void {
    this.#findings.push({ severity: "warning", message: `${message} (byte ${offset})`, offset });
  }

  /** Does `what`. Returns whether it went well: an error about the image is a finding. */
  async try(what: () => Promise<void>): Promise<boolean> {
    try {
      await what();
      return true;
    } catch (thrown) {
      if (!(thrown instanceof ImgbuildError)) throw thrown;
      // What is not known here was left out, and is no damage.
      if (thrown.code === "source-unsupported") return false;
      if (thrown.code !== "image-corrupt") throw thrown;
      this.#findings.push({ severity: "error", message: thrown.message, offset: thrown.data.offset as number });
      return false;
    }
  }

  /** All findings since the last time. */
  take(): Finding[] {
    const findings = this.#findings;
    this.#findings = [];
    return findings;
  }
}
