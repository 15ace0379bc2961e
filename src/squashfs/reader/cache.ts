/** What was used last, so many of them. */
export class Cache<Value> {
  readonly #limit: number;
  /** Least recently used first: a Map keeps the order in which its keys were set. */
  readonly #values = new Map<number, Value>();

  constructor(limit: number) {
    this.#limit = limit;
  }

  get(key: number): Value | undefined {
    const value = this.#values.get(key);
    if (value !== undefined) {
      this.#values.delete(key);
      this.#values.set(key, value);
    }
    return value;
  }

  set(key: number, value: Value): void {
    this.#values.set(key, value);
    if (this.#values.size <= this.#limit) return;
    for (const oldest of this.#values.keys()) {
      this.#values.delete(oldest);
      return;
    }
  }
}
