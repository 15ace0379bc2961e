/** `imgbuild profiles [NAME]`: the list of them, or one resolved. `imgbuild schema`: what a profile may say. */
import { safeText } from "../bytes/bytestring.js";
import { shippedProfiles } from "../profile/document.js";
import { loadPlan, loadProfile, standaloneProfile } from "../profile/load.js";
import { resolvedKeys } from "../profile/origins.js";
import { jsonSchema } from "../profile/schema.js";
import { defineCommand } from "./declare.js";
import { commonOptions } from "./options.js";
import { resolvedJson, resolvedText } from "./resolved-profile.js";
import { writeOutput } from "./standard-output.js";

export const profiles = defineCommand({
  describe: "Lists the profiles, or prints one, resolved, with where each value comes from.",
  operands: { name: { value: "NAME", optional: true, describe: "a profile, or a file", known: shippedProfiles } },
  options: {
    set: {
      type: "repeatable",
      value: "PATH=VALUE",
      describe: "change a key: partitions.rootfs.size=256MiB",
      group: "The profile",
    },
    ...commonOptions,
  },
  async run({ name, set, json }) {
    const folder = process.cwd();
    if (name !== undefined) {
      const loaded = loadProfile(name, { set, folder });
      const { layers } = loaded;
      const keys = [...resolvedKeys(standaloneProfile(loaded, folder), layers)];
      await writeOutput([
        json ? `${JSON.stringify(resolvedJson(layers, keys, folder))}\n` : resolvedText(layers, keys, folder),
      ]);
      return;
    }
    const plans = shippedProfiles().map((profile) => loadPlan(profile, { folder }));
    if (json) {
      const list = plans.map(({ profile, description, architecture }) => ({ profile, description, architecture }));
      await writeOutput([`${JSON.stringify(list)}\n`]);
      return;
    }
    const width = Math.max(...plans.map(({ profile }) => profile.length));
    await writeOutput(
      plans.map(({ profile, description }) => `${safeText(`${profile.padEnd(width)}  ${description}`)}\n`),
    );
  },
});

export const schema = defineCommand({
  describe: "Prints the JSON Schema of profiles.",
  operands: {},
  options: commonOptions,
  async run() {
    await writeOutput([`${JSON.stringify(jsonSchema(), undefined, 2)}\n`]);
  },
});
