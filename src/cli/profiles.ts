/** `imgbuild profiles [NAME]`: the list of them, or one resolved. `imgbuild schema`: what a profile may say. */

import { stringify } from "yaml";
import type { CommandModule } from "yargs";
import { shippedProfiles } from "../profile/document.js";
import { loadPlan, loadProfile } from "../profile/load.js";
import { jsonSchema } from "../profile/schema.js";
import type { CommonOptions } from "./options.js";

export const profilesCommand: CommandModule<CommonOptions, CommonOptions & { name?: string; set: string[] }> = {
  command: "profiles [name]",
  describe: "list the profiles, or print one, resolved",
  builder: (yargs) =>
    yargs.positional("name", { type: "string", describe: "a profile, or a file" }).option("set", {
      type: "string",
      array: true,
      nargs: 1,
      describe: "change a key",
      default: [] as string[],
    }) as never,
  handler({ name, set, json }) {
    const folder = process.cwd();
    if (name !== undefined) {
      const { resolved } = loadProfile(name, { set, folder });
      process.stdout.write(json ? `${JSON.stringify(resolved)}\n` : stringify(resolved));
      return;
    }
    const plans = shippedProfiles().map((profile) => loadPlan(profile, { folder }));
    if (json) {
      const list = plans.map(({ profile, description, architecture }) => ({ profile, description, architecture }));
      process.stdout.write(`${JSON.stringify(list)}\n`);
      return;
    }
    const width = Math.max(...plans.map(({ profile }) => profile.length));
    for (const { profile, description } of plans) process.stdout.write(`${profile.padEnd(width)}  ${description}\n`);
  },
};

export const schemaCommand: CommandModule<CommonOptions, CommonOptions> = {
  command: "schema",
  describe: "the JSON Schema of profiles",
  handler() {
    process.stdout.write(`${JSON.stringify(jsonSchema(), undefined, 2)}\n`);
  },
};
