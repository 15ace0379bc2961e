/** Ctrl-C and its like: temporary files go, nothing else changes, and the exit code is 130. */

const cleanups = new Set<() => void>();

/** Runs `work`; should a signal end the program meanwhile, `cleanup` runs first. */
export async function interruptible<T>(cleanup: () => void, work: () => Promise<T>): Promise<T> {
  cleanups.add(cleanup);
  try {
    return await work();
  } finally {
    cleanups.delete(cleanup);
  }
}

/** From now on signals clean up and exit. */
export function handleSignals(): void {
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.once(signal, () => {
      for (const cleanup of cleanups) cleanup();
      process.stderr.write("\ninterrupted: earlier artifacts are as they were\n");
      process.exit(130);
    });
  }
}
