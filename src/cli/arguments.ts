/** What the parser lets pass, or says badly, about the values of options. */
import { ImgbuildError } from "../errors.js";

/** What the parser knows of the options: names by their type. Of `alias`, each name has its others. */
export interface DeclaredOptions {
  readonly boolean: readonly string[];
  readonly number: readonly string[];
  readonly array: readonly string[];
  readonly key: Readonly<Record<string, unknown>>;
  readonly alias: Readonly<Record<string, readonly string[]>>;
}

/**
 * Throws a `usage` error for a yes or no that is something else, a number that is none, and an option that has one value and
 * is given twice. `argv` is what the parser made of `args`.
 */
export function checkArguments(
  argv: Readonly<Record<string, unknown>>,
  declared: DeclaredOptions,
  args: readonly string[],
): void {
  const end = args.indexOf("--");
  const given = end < 0 ? args : args.slice(0, end);
  const namesOf = (key: string) => [key, ...(declared.alias[key] ?? [])];
  const booleans = new Set(declared.boolean.flatMap(namesOf));
  for (const arg of given) {
    const [, name = "", value] = /^--?([^=]+)=(.*)$/s.exec(arg) ?? [];
    if (booleans.has(name) && value !== "true" && value !== "false") {
      throw new ImgbuildError("usage", `${arg} is neither on nor off`, {
        hint: `Write --${name}, or --no-${name} to turn it off.`,
      });
    }
  }
  for (const key of Object.keys(declared.key)) {
    const value = argv[key];
    const names = namesOf(key);
    const is = (type: readonly string[]) => names.some((name) => type.includes(name));
    if (!Array.isArray(value) && !Number.isNaN(value)) continue;
    // Undefined for what stands without a name, as sources do.
    const text = givenValue(given, names);
    if (text === undefined) continue;
    if (Array.isArray(value) && !is(declared.array)) {
      throw new ImgbuildError("usage", `--${key} is given ${value.length} times: ${value.join(", ")}`, {
        hint: "It has one value: leave the others out.",
      });
    }
    if (Number.isNaN(value) && is(declared.number)) {
      throw new ImgbuildError("usage", `--${key} ${text} is not a number`, { hint: "Give a whole number." });
    }
  }
}

/** The value as it was written; undefined where the option was not. */
function givenValue(args: readonly string[], names: readonly string[]): string | undefined {
  for (const [i, arg] of args.entries()) {
    for (const name of names) {
      const option = name.length === 1 ? `-${name}` : `--${name}`;
      if (arg === option) return args[i + 1] ?? "";
      if (arg.startsWith(`${option}=`)) return arg.slice(option.length + 1);
      // "-l9"
      if (name.length === 1 && arg.startsWith(option)) return arg.slice(option.length);
    }
  }
  return undefined;
}

/** The parser's message about a command line, as an error. That about choices goes over several lines. */
export function parserError(message: string): ImgbuildError {
  const wrong = [...message.matchAll(/^ *Argument: (.*), Given: (.*), Choices: (.*)$/gm)];
  if (wrong.length === 0) {
    const text = message.split("\n").map((line) => line.trim());
    return new ImgbuildError("usage", text.filter((line) => line !== "").join(" "), {
      hint: "`imgbuild --help` lists commands and options.",
    });
  }
  return new ImgbuildError("usage", wrong.map(([, key, value]) => `--${key} cannot be ${value}`).join("; "), {
    hint: wrong.map(([, key, , choices]) => `Choices for --${key}: ${choices!.replaceAll('"', "")}.`).join(" "),
  });
}
