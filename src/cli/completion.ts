/**
 * `imgbuild completion`: a script that completes commands, options and values in bash, and by way of its bashcompinit in zsh.
 * It holds all names, so that nothing is started while somebody types.
 */
import { COMMANDS } from "./commands.js";
import { type Command, defineCommand, type Option, type Options } from "./declare.js";
import { commonOptions } from "./options.js";
import { writeOutput } from "./standard-output.js";

export const completion = defineCommand({
  describe:
    'Prints a completion script for bash and zsh: source <(imgbuild completion), or eval "$(imgbuild completion)".',
  operands: {},
  options: commonOptions,
  async run() {
    const commands = new Map<string, Command>();
    for (const [name, { load }] of Object.entries(COMMANDS)) commands.set(name, await load());
    await writeOutput([completionScript(commands)]);
  },
});

/**
 * The script. A word without a proposal is completed as a file. bash takes "--name=value" for three words, zsh for one.
 */
function completionScript(commands: ReadonlyMap<string, Command>): string {
  const names = [...commands.keys()];
  const cases = Array.from(commands, ([name, { options, operands }]) => {
    const values = Object.entries(options).filter(([, { type }]) => type !== "flag");
    const operand = Object.values(operands)
      .flatMap(({ known }) => known?.() ?? [])
      .join(" ");
    return [
      `    ${name})`,
      `      options="${optionNames(options).join(" ")}"`,
      "      case $previous in",
      ...values.map(
        ([option, declared]) =>
          `        ${spellings(option, declared).join("|")}) value=yes known="${knownValues(declared)}" ;;`,
      ),
      `        *) known="${operand}" ;;`,
      "      esac",
      "      ;;",
    ].join("\n");
  });
  return `# Completion of imgbuild in bash and zsh. In ~/.bashrc or ~/.zshrc: source <(imgbuild completion)
if [ -n "\${ZSH_VERSION-}" ]; then
  autoload -Uz compinit bashcompinit && compinit && bashcompinit
fi

_imgbuild() {
  local word=\${COMP_WORDS[COMP_CWORD]} previous=\${COMP_WORDS[COMP_CWORD-1]} command=build options known value=no i
  if [ "$word" = = ]; then
    word=
  elif [ "$previous" = = ]; then
    previous=\${COMP_WORDS[COMP_CWORD-2]}
  fi
  for ((i = 1; i < COMP_CWORD; i++)); do
    case \${COMP_WORDS[i]} in
      ${names.join("|")}) command=\${COMP_WORDS[i]}; break ;;
      --) break ;;
    esac
  done
  case $command in
${cases.join("\n")}
  esac
  if [ $value = no ]; then
    case $word in
      -*) known=$options ;;
      *) [ "$COMP_CWORD" != 1 ] || known="${names.join(" ")}" ;;
    esac
  fi
  COMPREPLY=($(compgen -W "$known" -- "$word"))
}
complete -o default -F _imgbuild imgbuild
`;
}

/** As they are written: --name, -n. */
function spellings(name: string, { short }: Option): string[] {
  return short === undefined ? [`--${name}`] : [`--${name}`, `-${short}`];
}

function optionNames(options: Options): string[] {
  return Object.entries(options).map(([name, option]) =>
    option.type === "flag" && option.default ? `--no-${name}` : `--${name}`,
  );
}

function knownValues(option: Option): string {
  if ("known" in option) return option.known?.().join(" ") ?? "";
  return "choices" in option ? (option.choices?.join(" ") ?? "") : "";
}
