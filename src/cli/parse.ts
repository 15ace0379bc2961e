/** From words to a command's arguments. Every mistake in them is a `usage` error with a hint. */
import { parseArgs } from "node:util";
import { similarNames } from "../bytes/similar-names.js";
import { parseSize } from "../bytes/size.js";
import { ImgbuildError } from "../errors.js";
import { type Command, camelCase, type Operands, type Option, type Options, synopsis } from "./declare.js";

/** A command line, taken apart but not checked. */
export interface Scanned {
  /** The values of each option that was given, in their order, as written; of a flag "true" or "false". */
  readonly given: ReadonlyMap<string, readonly string[]>;
  readonly words: readonly string[];
}

/** Where a command line is judged: the command, by its name, with every option that it has. */
export interface Judged {
  readonly name: string;
  readonly command: Pick<Command, "operands" | "options" | "otherTool">;
}

/**
 * The parts of `args` as Node sees them: `--name value`, `--name=value`, `-nvalue`, `-abc`, words, and all words behind "--".
 * It does not judge what it does not know, because its messages could not say what to do.
 */
export function tokensOf(args: readonly string[], options: Options) {
  const known = Object.entries(options).map(([name, { type, short }]) => {
    return [name, { type: type === "flag" ? "boolean" : "string", ...(short && { short }) }] as const;
  });
  return parseArgs({ args: [...args], options: Object.fromEntries(known), strict: false, tokens: true }).tokens;
}

/** Takes a command line apart. Throws for options that there are not, and for those without a value. */
export function scan(args: readonly string[], { name: commandName, command }: Judged): Scanned {
  const { options, otherTool } = command;
  const given = new Map<string, string[]>();
  const words: string[] = [];
  for (const token of tokensOf(args, options)) {
    if (token.kind === "option-terminator") continue;
    if (token.kind === "positional") {
      words.push(token.value);
      continue;
    }
    const written = args[token.index]!;
    const instead = otherTool?.options[written];
    if (instead !== undefined) {
      throw new ImgbuildError("usage", `${written} is an option of ${otherTool!.name}`, {
        hint: `Here: ${instead}. docs/command-line.md has what else is different.`,
      });
    }
    // "-size" would be -s with the value "ize".
    const name = optionName(token.name, options);
    if (name === undefined || Object.hasOwn(options, written.slice(1)))
      throw unknown(written, token, commandName, options);
    const value =
      options[name]!.type === "flag" ? flagValue(token, name, written) : givenValue(token, name, commandName);
    given.set(name, [...(given.get(name) ?? []), value]);
  }
  return { given, words };
}

type OptionToken = Extract<ReturnType<typeof tokensOf>[number], { kind: "option" }>;

/** The option that a name stands for; of a flag also with "no-". */
function optionName(name: string, options: Options): string | undefined {
  if (Object.hasOwn(options, name)) return name;
  const positive = name.replace(/^no-/, "");
  return Object.hasOwn(options, positive) && options[positive]!.type === "flag" ? positive : undefined;
}

function unknown(
  written: string,
  { name, rawName }: OptionToken,
  commandName: string,
  options: Options,
): ImgbuildError {
  // "-size": not letters of which one is no option, but a name with a dash too few.
  const single = /^-([a-z][a-z-]{2,})/.exec(written)?.[1];
  const names = Object.entries(options).flatMap(([known, { type }]) =>
    type === "flag" ? [known, `no-${known}`] : [known],
  );
  const similar = similarNames(single ?? name, names).map((known) => `--${known}`);
  const guess = similar.length > 0 ? `Did you mean ${similar.join(" or ")}? ` : "";
  return new ImgbuildError("usage", `there is no option ${single === undefined ? rawName : `-${single}`}`, {
    hint: guess + helpLists(commandName),
  });
}

const helpLists = (name: string) => `\`imgbuild ${name} --help\` lists the options.`;

function flagValue({ name, value }: OptionToken, positive: string, written: string): string {
  // Of "-q=1", the parts are q, = and 1.
  const text = /^-[^-]=/.test(written) ? written.slice(3) : value;
  const on = name === positive;
  if (text === undefined) return `${on}`;
  if (on && (text === "true" || text === "false")) return text;
  throw new ImgbuildError("usage", `${written} is neither on nor off`, {
    hint: `Write --${positive}, or --no-${positive} to turn it off.`,
  });
}

function givenValue({ rawName, value, inlineValue }: OptionToken, name: string, commandName: string): string {
  if (value !== undefined && (inlineValue || !/^-./.test(value))) {
    // "-l=9"
    return inlineValue && !rawName.startsWith("--") ? value.replace(/^=/, "") : value;
  }
  const joined = value === undefined || value === "--" ? "" : `If ${value} is meant, write --${name}=${value}. `;
  throw new ImgbuildError("usage", `--${name} has no value`, { hint: joined + helpLists(commandName) });
}

/** The arguments of a command, each as its declaration says. Throws for all that is wrong with the values at once. */
export function interpret({ given, words }: Scanned, { name, command }: Judged): Record<string, unknown> {
  const args: Record<string, unknown> = {};
  const problems: ImgbuildError[] = [];
  for (const [option, declared] of Object.entries(command.options)) {
    try {
      args[camelCase(option)] = interpretOption(option, declared, given.get(option) ?? []);
    } catch (error) {
      if (!(error instanceof ImgbuildError)) throw error;
      problems.push(error);
    }
  }
  if (problems.length > 0) {
    const text = problems.map(({ message }) => message).join("; ");
    throw new ImgbuildError("usage", text, { hint: problems.map(({ hint }) => hint).join(" ") });
  }
  return Object.assign(args, interpretWords(words, command.operands, name));
}

function interpretOption(name: string, option: Option, texts: readonly string[]): unknown {
  switch (option.type) {
    case "flag":
      return texts.length > 0 ? texts.at(-1) === "true" : option.default;
    case "repeatable":
      return texts;
    case "list":
      return texts.length > 0 ? listOf(name, texts, option.choices) : undefined;
  }
  if (texts.length > 1) {
    throw new ImgbuildError("usage", `--${name} is given ${texts.length} times: ${texts.join(", ")}`, {
      hint: "It has one value: leave the others out.",
    });
  }
  const [text] = texts;
  if (text === undefined && option.required) {
    throw new ImgbuildError("usage", `--${name} is missing`, {
      hint: `Add --${name} ${option.value}: ${option.describe}.`,
    });
  }
  switch (option.type) {
    case "text":
      return text ?? option.default;
    case "size":
      return sizeOf(name, text ?? option.default);
    case "number":
      return text === undefined ? option.default : numberOf(name, text, option.range);
    case "choice":
      return text === undefined ? option.default : choiceOf(name, text, option.choices);
  }
}

function listOf(name: string, texts: readonly string[], choices: readonly string[] | undefined): readonly string[] {
  const items = texts.flatMap((text) => text.split(","));
  if (choices === undefined && items.includes("")) {
    throw new ImgbuildError("usage", `--${name} "${texts.join(",")}" has an item that is empty`, {
      hint: "Give names with one comma between them, or leave the option out.",
    });
  }
  for (const item of items) {
    if (choices === undefined || choices.includes(item)) continue;
    throw new ImgbuildError("usage", `--${name} ${texts.join(",")}: "${item}" is not known`, {
      hint: `Separate with commas what is wanted of: ${choices.join(", ")}.`,
    });
  }
  return items;
}

function sizeOf(name: string, text: string | undefined): number | undefined {
  try {
    return text === undefined ? undefined : parseSize(text);
  } catch (error) {
    const { message, hint } = error as ImgbuildError;
    throw new ImgbuildError("usage", `--${name}: ${message}`, { ...(hint && { hint }), cause: error });
  }
}

function numberOf(name: string, text: string, range: readonly [number, number] | undefined): number {
  const number = text.trim() === "" ? Number.NaN : Number(text);
  if (Number.isNaN(number)) {
    throw new ImgbuildError("usage", `--${name} ${text} is not a number`, { hint: "Give a whole number." });
  }
  if (range === undefined || (Number.isInteger(number) && number >= range[0] && number <= range[1])) return number;
  throw new ImgbuildError("usage", `--${name} ${text} is out of range`, {
    hint: `Give a whole number from ${range[0]} to ${range[1]}.`,
  });
}

function choiceOf(name: string, text: string, choices: readonly (string | number)[]): string | number {
  const found = choices.find((choice) => `${choice}` === text);
  if (found !== undefined) return found;
  const shown = typeof choices[0] === "number" ? text : `"${text}"`;
  throw new ImgbuildError("usage", `--${name} cannot be ${shown}`, {
    hint: `Choices for --${name}: ${choices.join(", ")}.`,
  });
}

/** Gives each operand its words: as many as there are behind and before it, one each, and the rest to the one in between. */
function interpretWords(words: readonly string[], operands: Operands, command: string): Record<string, unknown> {
  const args: Record<string, unknown> = {};
  const left = [...words];
  const declared = Object.entries(operands);
  const wrong = (problem: string) =>
    new ImgbuildError("usage", `${problem}: imgbuild ${command} ${synopsis(operands)}`.trimEnd(), {
      hint: `\`imgbuild ${command} --help\` says what it takes.`,
    });
  for (const [index, [name, { value, many, optional }]] of declared.entries()) {
    const behind = declared.length - index - 1;
    const own = left.splice(0, many ? Math.max(0, left.length - behind) : 1);
    if (own.length === 0 && !optional) throw wrong(`${value} is missing`);
    args[name] = many ? own : own[0];
  }
  if (left.length > 0) throw wrong(`${left.join(" ")} is too much`);
  return args;
}
