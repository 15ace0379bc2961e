/** What a check has found. */
export interface Finding {
  /** "error": somebody will read it wrongly, or not at all. "warning": it works, and is not as it should be. */
  readonly severity: "error" | "warning";
  readonly message: string;
  /** Where it shows, in bytes from the start of what was checked; undefined where there is no such place. */
  readonly offset?: number | undefined;
}
