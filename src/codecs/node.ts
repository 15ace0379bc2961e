/**
 * Node's own modules, where there is Node. Nothing that a format needs imports them: browsers would fail on the name alone,
 * and so do bundlers. Everything has to work without them; they make it faster.
 */

/** The module `name`, or undefined where this is not Node (or something that says it is). */
export function nodeModule<Name extends keyof BuiltinModules>(name: Name): BuiltinModules[Name] | undefined {
  const node = (globalThis as { process?: { getBuiltinModule?: (name: string) => unknown } }).process;
  return node?.getBuiltinModule?.(name) as BuiltinModules[Name] | undefined;
}

/** Those that are asked for. */
interface BuiltinModules {
  readonly "node:fs/promises": typeof import("node:fs/promises");
  readonly "node:os": typeof import("node:os");
  readonly "node:worker_threads": typeof import("node:worker_threads");
}
