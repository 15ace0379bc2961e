/** --help: of imgbuild, and of each command from its declaration. */
import { COMMANDS } from "./commands.js";
import { type Command, type Option, type Options, synopsis } from "./declare.js";
import { commonOptions } from "./options.js";

const MOST_COLUMNS = 110;
/** Descriptions begin behind the longest name, but not further right than this: longer names have a line of their own. */
const MOST_NAME_COLUMNS = 28;

/** Of imgbuild itself. */
export function generalHelp(): string {
  const commands = Object.entries(COMMANDS).map(([name, { summary }]): Row => [`imgbuild ${name}`, summary]);
  return text(
    "imgbuild --profile NAME ROOTFS\nimgbuild COMMAND ...",
    wrapped("Turns a root file system and a board profile into an image that can be flashed and that boots.", 0),
    table("Commands", commands),
    ...optionTables(commonOptions),
    wrapped("`imgbuild COMMAND --help` says what a command takes; without a command it is build that runs.", 0),
  );
}

/** Of one command. */
export function commandHelp(name: string, { describe, operands, options }: Command): string {
  const operandRows = Object.values(operands).map((operand): Row => [operand.value, operand.describe]);
  return text(
    `imgbuild ${name} [OPTION...] ${synopsis(operands)}`.trimEnd(),
    wrapped(describe, 0),
    ...(operandRows.length > 0 ? [table("Arguments", operandRows)] : []),
    ...optionTables(options),
  );
}

type Row = readonly [name: string, description: string];

const text = (...paragraphs: readonly string[]) => `${paragraphs.join("\n\n")}\n`;

/** A table for each group. */
function optionTables(options: Options): string[] {
  const groups = new Map<string, Row[]>();
  for (const [name, option] of Object.entries(options)) {
    const rows = groups.get(option.group) ?? [];
    groups.set(option.group, rows);
    rows.push([namesOf(name, option), descriptionOf(option)]);
  }
  return Array.from(groups, ([group, rows]) => table(group, rows));
}

/** "-b, --block-size SIZE", "--xattrs, --no-xattrs". */
function namesOf(name: string, option: Option): string {
  const short = option.short === undefined ? "    " : `-${option.short}, `;
  if (option.type !== "flag") return `${short}--${name} ${option.value}`;
  return `${short}--${name}${option.default ? `, --no-${name}` : ""}`;
}

function descriptionOf(option: Option): string {
  if (option.type === "flag") return option.describe + (option.default ? " [default: on]" : "");
  const facts = [
    "choices" in option && option.choices !== undefined && option.choices.join(", "),
    option.type === "repeatable" && "repeatable",
    option.required && "required",
  ].filter((fact) => typeof fact === "string");
  const preset = option.shownDefault ?? ("default" in option ? option.default : undefined);
  if (preset !== undefined) facts.push(`default: ${preset}`);
  return [option.describe, ...facts.map((fact) => `[${fact}]`)].join(" ");
}

function table(heading: string, rows: readonly Row[]): string {
  const column = Math.min(MOST_NAME_COLUMNS, Math.max(...rows.map(([name]) => name.length))) + 4;
  const lines = rows.map(([name, description]) => {
    const start = `  ${name}`;
    const indented = wrapped(description, column);
    return start.length > column - 2 ? `${start}\n${indented}` : start + indented.slice(start.length);
  });
  return [`${heading}:`, ...lines].join("\n");
}

/** `words` in lines as long as the terminal's, each behind `indent` blanks. */
function wrapped(words: string, indent: number): string {
  const columns = Math.min(MOST_COLUMNS, process.stdout.columns ?? 100) - indent;
  const lines = [""];
  for (const word of words.split(" ")) {
    const line = lines.at(-1)!;
    if (line === "") lines[lines.length - 1] = word;
    else if (line.length + 1 + word.length <= columns) lines[lines.length - 1] = `${line} ${word}`;
    else lines.push(word);
  }
  return lines.map((line) => " ".repeat(indent) + line).join("\n");
}
