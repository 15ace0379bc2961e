/** Ctrl-C and its like: temporary files go, nothing else changes, and the exit code is 130. */

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** Runs `work`; should a signal end the program meanwhile, `cleanup` runs first, and `state` is what the user has to know then. */
export async function interruptible<T>(
  cleanup: () => void,
  work: () => Promise<T>,
  state: () => string = () => "earlier artifacts are as they were",
): Promise<T> {
  const interrupted = () => {
    cleanup();
    process.stderr.write(`\ninterrupted: ${state()}\n`);
    process.exit(130);
  };
  for (const signal of SIGNALS) process.once(signal, interrupted);
  try {
    return await work();
  } finally {
    for (const signal of SIGNALS) process.removeListener(signal, interrupted);
  }
}
