/**
 * How a command says what it takes: options and operands as tables. The parser (parse.ts), the help (help.ts), the completion
 * (completion.ts) and the types of a command's arguments all come from them.
 */

interface Described {
  readonly describe: string;
  /** The option's other name, one letter. */
  readonly short?: string;
  /** Heading of the help. Groups are in the order in which they first appear. */
  readonly group: string;
}

interface Valued extends Described {
  /** What the help calls the value: SIZE. */
  readonly value: string;
  /** What the help says in place of a default that is worked out later. */
  readonly shownDefault?: string;
  /** A usage error where it is not given. */
  readonly required?: true;
}

/** On or off: --name, --no-name, --name=true, --name=false. */
interface Flag extends Described {
  readonly type: "flag";
  readonly default: boolean;
}

interface Text extends Valued {
  readonly type: "text";
  readonly default?: string;
  /** Some of the possible values, for completion. */
  readonly known?: () => readonly string[];
}

/** A number of bytes, as bytes/size.ts reads it. */
interface Size extends Valued {
  readonly type: "size";
  readonly default?: string;
}

/** With a range: a whole number from the first to the second. */
interface Numeric extends Valued {
  readonly type: "number";
  readonly range?: readonly [number, number];
  readonly default?: number;
}

interface Choice extends Valued {
  readonly type: "choice";
  readonly choices: readonly (string | number)[];
  readonly default?: string | number;
}

/** Several values, with commas between them or the option given again. */
interface List extends Valued {
  readonly type: "list";
  readonly choices?: readonly string[];
}

/** The option given any number of times, each with one value. */
interface Repeatable extends Valued {
  readonly type: "repeatable";
}

export type Option = Flag | Text | Size | Numeric | Choice | List | Repeatable;
export type Options = Readonly<Record<string, Option>>;

/** An argument that is told by its place. One at most is `many`: what those before and behind it leave. */
export interface Operand {
  /** What help and errors call it. */
  readonly value: string;
  readonly describe: string;
  readonly many?: true;
  readonly optional?: true;
  /** Some of the possible values, for completion. */
  readonly known?: () => readonly string[];
}
export type Operands = Readonly<Record<string, Operand>>;

type ValueOf<O extends Option> = O extends Flag
  ? boolean
  : O extends Text
    ? string
    : O extends Size | Numeric
      ? number
      : O extends Choice
        ? O["choices"][number]
        : O extends { type: "list"; choices: readonly (infer C)[] }
          ? readonly C[]
          : readonly string[];

type OptionArgument<O extends Option> = O extends { default: unknown } | { required: true } | { type: "repeatable" }
  ? ValueOf<O>
  : ValueOf<O> | undefined;

type OperandArgument<O extends Operand> = O extends { many: true }
  ? readonly string[]
  : O extends { optional: true }
    ? string | undefined
    : string;

type Camel<Name> = Name extends `${infer Head}-${infer Tail}` ? `${Head}${Capitalize<Camel<Tail>>}` : Name;

/** What a command gets: "block-size" as blockSize. */
export type Arguments<O extends Options, P extends Operands = Record<never, never>> = {
  readonly [Name in keyof O as Camel<Name>]: OptionArgument<O[Name]>;
} & { readonly [Name in keyof P]: OperandArgument<P[Name]> };

/** "block-size" as blockSize. */
export const camelCase = (name: string) => name.replace(/-(.)/g, (_, letter: string) => letter.toUpperCase());

/** A program that people come from, and what to write instead of its options. */
export interface OtherTool {
  readonly name: string;
  /** By the option as it is written, "-comp"; of each, what does the same here, or why there is none. */
  readonly options: Readonly<Record<string, string>>;
}

export interface Command<O extends Options = Options, P extends Operands = Operands> {
  /** One sentence for the help. */
  readonly describe: string;
  readonly operands: P;
  readonly options: O;
  readonly otherTool?: OtherTool;
  run(args: Arguments<O, P>): Promise<void> | void;
}

/** A command, whose `run` gets what its tables say. Only the parser can make that, so it is not known outside. */
export function defineCommand<const O extends Options, const P extends Operands>(command: Command<O, P>): Command {
  return command as unknown as Command;
}

/** "[SOURCE...] IMAGE". */
export function synopsis(operands: Operands): string {
  return Object.values(operands)
    .map(({ value, many, optional }) => {
      const text = many ? `${value}...` : value;
      return optional ? `[${text}]` : text;
    })
    .join(" ");
}
