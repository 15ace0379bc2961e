/**
 * What was used last, so many of them. It holds promises, from the moment that something is asked for: callers at the same
 * time share one reading, and what counts readings against a limit counts it once. A reading that fails is forgotten, so
 * that the next caller tries again.
 */
export class Cache<Key, Value> {
  readonly #limit: number;
  /** Least recently used first: a Map keeps the order in which its keys were set. */
  readonly #values = new Map<Key, Promise<Value>>();

  /** Keeps `limit` values; all of them when it is infinite. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** The value of `key`: what `read` gives when it is not there. Rejects as `read` does. */
  get(key: Key, read: () => Promise<Value>): Promise<Value> {
    const known = this.#values.get(key);
    const value = known ?? read();
    this.#values.delete(key);
    this.#values.set(key, value);
    if (known === undefined) {
      value.catch(() => {
        if (this.#values.get(key) === value) this.#values.delete(key);
      });
      this.#dropOldest();
    }
    return value;
  }

  #dropOldest(): void {
    if (this.#values.size <= this.#limit) return;
    for (const oldest of this.#values.keys()) {
      this.#values.delete(oldest);
      return;
    }
  }
}
