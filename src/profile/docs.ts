/** docs/profiles.md, made from the schema and the shipped profiles: `make docs` writes it. */
import * as fs from "node:fs";
import * as path from "node:path";
import { stringify } from "yaml";
import { shippedProfiles } from "./document.js";
import { loadPlan } from "./load.js";
import { jsonSchema } from "./schema.js";
import { exampleOf, type SchemaKey, schemaKeys } from "./schema-keys.js";
import { shown } from "./sizes.js";

const EXAMPLE_BOARD = path.resolve(import.meta.dirname, "../../../examples/own-board/board.yaml");

const INTRODUCTION = `# Profiles

<!-- Made by \`make docs\` from src/profile: change it there. -->

A profile is a YAML or JSON file that says what a board's image is made of. \`imgbuild profiles\` lists those that come with imgbuild,
\`imgbuild profiles NAME\` prints one with where each value comes from, \`imgbuild schema\` prints what follows as a JSON Schema, for editors
and checks.

## A board of your own

It says which board it resembles, and what differs; it lies beside your project, and is named by its path: \`-p ./board.yaml\`.
[examples/own-board](../examples/own-board/board.yaml) is one:

`;

const RULES = `
- \`extends\` names a shipped profile, one of the bases they stand on (\`toradex\`, \`three-partitions\`, ...), or a file, whose path starts
  from the folder of the file that says it. Chains may be as long as you like.
- Mappings are merged key by key, and the more special value holds. Lists are replaced as a whole. \`null\` takes away what was
  inherited: \`bootloader: null\`.
- Relative paths (\`source\`, files of \`tezi\` and \`update\`) start from the folder of the file that they are written in; those of \`--set\`, from where
  imgbuild is called. Kernel, device trees, bootloader and \`boot.files\` are names, and are looked for in \`--boot-files\` and \`--bootloader\`.
- A file with \`abstract: true\` is for others to extend, and cannot be built: what several boards of yours have in common.
- \`--set storage.size=8GiB\` changes a key for one build, and comes last.
- Sizes are numbers of bytes, or 64KiB, 64MiB, 1.5GiB: always powers of 1024.
`;

const SD_CARDS = `
Modules start from their eMMC's boot partition, \`boot0\`: Toradex fuses them so. For a card, the usual image is one without a bootloader
(\`--set bootloader=null\`): the U-Boot in the module's eMMC looks at the card first.

The profiles that end in \`-sd\` put a bootloader where the chip looks for it on a card, in front of the first partition. A module takes
it from there only when it is held in recovery mode as it is switched on, where the boot ROMs of the i.MX6 and i.MX7 look at a card before they
wait for USB ("SD/MMC manufacture mode" in NXP's reference manuals): to bring back a module whose boot0 is empty or broken. It is also what a board with the same chip needs
that is strapped to start from a card. None of this was tried on modules; what is known of each is in the profile.
`;

/** The text of docs/profiles.md. */
export function profileDocs(): string {
  const keys = [...schemaKeys(jsonSchema())];
  const boards = shippedProfiles().map((name) => [`\`${name}\``, loadPlan(name, { folder: "/" }).description]);
  const parts = [
    INTRODUCTION,
    `\`\`\`yaml\n${fs.readFileSync(EXAMPLE_BOARD, "utf8")}\`\`\`\n`,
    RULES,
    "\n## Boards\n\n",
    table(["profile", "board"], boards),
    SD_CARDS,
    "\n## Keys\n\n",
    keyTable(keys.filter(({ path: key }) => !key.includes("."))),
  ];
  for (const { path: key, node, holdsKeys } of keys) {
    if (!holdsKeys) continue;
    const prefix = keys.some(({ path: other }) => other.startsWith(`${key}[].`))
      ? `${key}[].`
      : keys.some(({ path: other }) => other.startsWith(`${key}.*.`))
        ? `${key}.*.`
        : `${key}.`;
    const inner = keys.filter(({ path: other }) => other.startsWith(prefix) && !/[.]/.test(other.slice(prefix.length)));
    const title = prefix.slice(0, -1).replace("*", "NAME");
    parts.push(`\n## ${title}\n\n${node.description === undefined ? "" : `${node.description}\n\n`}`, keyTable(inner));
  }
  return parts.join("");
}

function keyTable(keys: readonly SchemaKey[]): string {
  const rows = keys.map((key) => [
    `\`${key.path.slice(key.path.lastIndexOf(".") + 1)}\`${key.required ? " (required)" : ""}`,
    meaning(key),
    key.holdsKeys ? "" : written(key.node.default),
    key.holdsKeys ? "below" : exampleText(key),
  ]);
  return table(["key", "meaning", "default", "example"], rows);
}

function meaning({ node, filesystems }: SchemaKey): string {
  const choices = node.enum ?? node.anyOf?.map((one) => one.const).filter((value) => value !== undefined) ?? [];
  return [
    ...(filesystems === undefined ? [] : [`With ${filesystems.join(" and ")}.`]),
    ...(node.description === undefined ? [] : [node.description]),
    ...(choices.length === 0 ? [] : [`One of ${choices.map((choice) => `\`${choice}\``).join(", ")}.`]),
  ].join(" ");
}

/** "key: value", as a line of the file. */
function exampleText(key: SchemaKey): string {
  const example = exampleOf(key);
  return example === undefined
    ? ""
    : written({ [key.path.slice(key.path.lastIndexOf(".") + 1)]: shown(example, key.node) });
}

function written(value: unknown): string {
  if (value === undefined || value === "") return "";
  const text = stringify(value, { collectionStyle: "flow", flowCollectionPadding: false, lineWidth: 0 }).trim();
  const isLine = typeof value === "object" && value !== null && !Array.isArray(value);
  return `\`${isLine ? text.slice(1, -1) : text}\``;
}

/** A Markdown table with its columns aligned, as the formatter wants it. */
function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const cells = [head, ...rows].map((row) => row.map((cell) => cell.replaceAll("|", "\\|")));
  const widths = head.map((_, column) => Math.max(...cells.map((row) => row[column]!.length)));
  const line = (row: readonly string[], fill = " ") =>
    `| ${row.map((cell, column) => cell.padEnd(widths[column]!, fill)).join(" | ")} |\n`;
  const [first, ...others] = cells;
  return (
    line(first!) +
    line(
      head.map(() => ""),
      "-",
    ) +
    others.map((row) => line(row)).join("")
  );
}
