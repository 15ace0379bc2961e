/** An emulated machine whose console a test drives: waits for what the guest prints, and types lines. */
import { type ChildProcess, spawn } from "node:child_process";
import type { TestContext } from "node:test";
import type { QemuCommand } from "../../src/qemu/command.js";

/** How long a step may take unless the test says otherwise: several times what it takes on a slow machine. */
const PATIENCE_MS = 90_000;
/** How much of the console an error shows. */
const TAIL = 4000;

export class Guest {
  /** Everything that the console and the emulator have printed, carriage returns left out. */
  log = "";
  /** Up to where `waitFor` has read. */
  #seen = 0;
  #ended: number | NodeJS.Signals | undefined;
  #changed: () => void = () => {};
  readonly #child: ChildProcess;

  private constructor(command: QemuCommand) {
    this.#child = spawn(command.program, command.args, { stdio: ["pipe", "pipe", "pipe"] });
    for (const stream of [this.#child.stdout!, this.#child.stderr!]) {
      stream.setEncoding("utf8").on("data", (text: string) => {
        this.log += text.replaceAll("\r", "");
        this.#changed();
      });
    }
    // A guest that has ended no longer reads what is typed; the next wait says so better than a broken pipe would.
    this.#child.stdin!.on("error", () => {});
    this.#child.once("error", (error) => {
      this.log += error.message;
      this.#ended = -1;
      this.#changed();
    });
    this.#child.once("close", (code, signal) => {
      this.#ended ??= code ?? signal ?? -1;
      this.#changed();
    });
  }

  /** Starts the machine. It is killed after the test, if it still runs then. */
  static start(t: TestContext, command: QemuCommand): Guest {
    const guest = new Guest(command);
    t.after(() => guest.kill());
    return guest;
  }

  /** Waits until `met` returns something. Fails, with the end of the log, after `patience` ms or when the guest ended. */
  async #until<T>(met: () => T | undefined, what: string, patience: number): Promise<T> {
    const deadline = Date.now() + patience;
    for (;;) {
      const result = met();
      if (result !== undefined) return result;
      const left = deadline - Date.now();
      const reason =
        this.#ended !== undefined
          ? `ended with ${this.#ended}`
          : left <= 0
            ? `did nothing of that in ${patience} ms`
            : "";
      if (reason) {
        this.kill();
        throw new Error(
          `waited for ${what}, but the guest ${reason}. The end of its console:\n${this.log.slice(-TAIL)}`,
        );
      }
      await this.#change(left);
    }
  }

  /** Waits until the guest prints something or ends, `patience` ms at most. */
  #change(patience: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, patience);
      this.#changed = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  /** Waits for text that has not been waited for yet, and returns the console's output up to and with it. */
  waitFor(text: string | RegExp, patience = PATIENCE_MS): Promise<string> {
    const find = () => {
      const rest = this.log.slice(this.#seen);
      const match = typeof text === "string" ? rest.indexOf(text) : rest.search(text);
      if (match < 0) return undefined;
      const length = typeof text === "string" ? text.length : text.exec(rest)![0].length;
      this.#seen += match + length;
      return rest.slice(0, match + length);
    };
    return this.#until(find, String(text), patience);
  }

  /** Types a line. */
  type(line: string): void {
    this.#child.stdin!.write(`${line}\n`);
  }

  /** Logs in as root, who has no password, at the demonstration's prompt. */
  async logIn(patience = PATIENCE_MS): Promise<void> {
    await this.waitFor("login: ", patience);
    this.type("root");
    await this.#prompt();
    // Kernel messages would end up in the middle of what commands print.
    await this.run("dmesg -n 1");
  }

  /**
   * Waits for the shell's prompt. What is typed before it may be lost: the shell changes the terminal's settings around
   * each command, and for that a UART driver may empty its FIFO.
   */
  #prompt(): Promise<string> {
    return this.waitFor(/root@[^\n]*[#$] /);
  }

  #commands = 0;

  /** Runs a command in the guest's shell and returns what it printed, without the last line feed. Throws when it fails. */
  async run(command: string, patience = PATIENCE_MS): Promise<string> {
    const { output, status } = await this.try(command, patience);
    if (status !== 0) throw new Error(`in the guest, ${command} ended with ${status}:\n${output}`);
    return output;
  }

  /** Runs a command in the guest's shell, which may fail. */
  async try(command: string, patience = PATIENCE_MS): Promise<{ output: string; status: number }> {
    // The echo of the typed line has the quotes in it, and so is not taken for the marker itself.
    const marker = `${++this.#commands}`;
    this.type(`echo '<'${marker}; ${command}; echo '|'$?'>'${marker}`);
    await this.waitFor(`<${marker}\n`, patience);
    const printed = await this.waitFor(new RegExp(`\\|\\d+>${marker}\\n`), patience);
    await this.#prompt();
    const end = /\n?\|(\d+)>\d+\n$/.exec(printed)!;
    return { output: printed.slice(0, end.index), status: Number(end[1]) };
  }

  /** Waits until the emulator ends by itself, and returns its exit code. */
  end(patience = PATIENCE_MS): Promise<number | NodeJS.Signals> {
    return this.#until(() => this.#ended, "its end", patience);
  }

  /** Ends the emulator at once: for the guest, the power is cut. */
  kill(): void {
    if (this.#ended === undefined) this.#child.kill("SIGKILL");
  }
}
