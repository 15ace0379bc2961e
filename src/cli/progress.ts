/** Progress on standard error: a bar on a terminal, plain lines elsewhere, JSON lines on demand. */
import { performance } from "node:perf_hooks";
import { safeText } from "../bytes/bytestring.js";
import { formatSize } from "../bytes/size.js";
import type { Observer } from "../tree/observer.js";
import { paint } from "./terminal.js";

export const PROGRESS_MODES = ["auto", "plain", "json", "none"] as const;
export type ProgressMode = (typeof PROGRESS_MODES)[number];

const BAR_EVERY_MS = 100;
const LINE_EVERY_MS = 5000;
const BAR_WIDTH = 24;

/** What a command tells while it works. */
export class Reporter {
  readonly #mode: "bar" | Exclude<ProgressMode, "auto">;
  readonly #quiet: boolean;
  #stage = "";
  #files = 0;
  #bytes = 0;
  #total = { files: 0, bytes: 0 };
  #since = performance.now();
  #shown = 0;
  #barOnScreen = false;

  constructor(mode: ProgressMode, quiet: boolean) {
    this.#quiet = quiet;
    this.#mode = mode === "auto" ? (process.stderr.isTTY ? "bar" : "plain") : mode;
  }

  /** For the writers. */
  readonly observer: Observer = {
    progress: (bytes, files) => {
      this.#bytes += bytes;
      this.#files += files;
      this.#show();
    },
    notice: (text) => this.notice(text),
  };

  /** A part of the work begins; `total` is what its progress counts up to. */
  stage(name: string, total: { files: number; bytes: number } = { files: 0, bytes: 0 }): void {
    this.#finishStage();
    this.#stage = name;
    this.#total = total;
    this.#bytes = 0;
    this.#files = 0;
    this.#since = performance.now();
    this.#shown = this.#since;
    if (this.#quiet) return;
    if (this.#mode === "json") this.#json({ stage: name, ...total });
  }

  /** Something to know though the work goes on. */
  notice(text: string): void {
    if (this.#quiet) return;
    if (this.#mode === "json") this.#json({ notice: text });
    else this.#line(text, `${paint("yellow", "note:")} `);
  }

  /** A line about what was done. */
  say(text: string): void {
    if (!this.#quiet && this.#mode !== "json") this.#line(text);
  }

  /** The work is over: the bar goes. */
  end(): void {
    this.#finishStage();
    this.#stage = "";
  }

  #finishStage(): void {
    this.#clearBar();
    if (this.#quiet || this.#stage === "" || this.#mode === "none") return;
    const seconds = (performance.now() - this.#since) / 1000;
    if (this.#mode === "json") {
      this.#json({ done: this.#stage, files: this.#files, bytes: this.#bytes, seconds: Number(seconds.toFixed(3)) });
    } else if (this.#bytes > 0) {
      const files = this.#files > 0 ? `${this.#files} files, ` : "";
      this.#line(`${this.#stage}: ${files}${formatSize(this.#bytes)} in ${seconds.toFixed(1)} s`);
    }
  }

  #show(): void {
    if (this.#quiet || this.#mode === "none") return;
    const now = performance.now();
    if (now - this.#shown < (this.#mode === "bar" ? BAR_EVERY_MS : LINE_EVERY_MS)) return;
    this.#shown = now;
    const elapsed = (now - this.#since) / 1000;
    const { bytes: total } = this.#total;
    if (this.#mode === "json") {
      this.#json({ stage: this.#stage, files: this.#files, bytes: this.#bytes, of: total });
      return;
    }
    const share = total > 0 ? Math.min(1, this.#bytes / total) : 0;
    const left = share > 0.01 && share < 1 ? `, ${Math.ceil((elapsed / share) * (1 - share))} s left` : "";
    const counted = this.#total.files > 0 ? `${this.#files}/${this.#total.files} files, ` : `${this.#files} files, `;
    // Where no files are, as on a medium, there are none to count.
    const amounts = `${this.#files + this.#total.files > 0 ? counted : ""}${formatSize(this.#bytes)}`;
    const speed = `${formatSize(this.#bytes / Math.max(elapsed, 0.001))}/s`;
    const text = `${this.#stage}: ${amounts}${total > 0 ? ` of ${formatSize(total)}` : ""}, ${speed}${left}`;
    if (this.#mode === "plain") {
      this.#line(text);
      return;
    }
    const filled = Math.round(share * BAR_WIDTH);
    const bar = total > 0 ? `[${"#".repeat(filled)}${".".repeat(BAR_WIDTH - filled)}] ` : "";
    process.stderr.write(`\r\x1b[K${safeText(bar + text).slice(0, (process.stderr.columns ?? 80) - 1)}`);
    this.#barOnScreen = true;
  }

  #line(text: string, label = ""): void {
    this.#clearBar();
    process.stderr.write(`${label}${safeText(text)}\n`);
  }

  #clearBar(): void {
    if (this.#barOnScreen) process.stderr.write("\r\x1b[K");
    this.#barOnScreen = false;
  }

  #json(value: object): void {
    process.stderr.write(`${JSON.stringify(value)}\n`);
  }
}
