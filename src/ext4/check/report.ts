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

  /** What `what` resolves to; undefined when it rejects with an error about the image, which is a finding then. */
  async try<T>(what: () => Promise<T>): Promise<T | undefined> {
    try {
      return await what();
    } catch (thrown) {
      if (!(thrown instanceof ImgbuildError)) throw thrown;
      const { code, message, data } = thrown;
      // What is only not known here is no damage.
      if (code === "source-unsupported") return undefined;
      if (code !== "image-corrupt") throw thrown;
      this.#findings.push({ severity: "error", message, offset: data.offset as number });
      return undefined;
    }
  }

  /** All findings since the last time. */
  take(): Finding[] {
    const findings = this.#findings;
    this.#findings = [];
    return findings;
  }
}
