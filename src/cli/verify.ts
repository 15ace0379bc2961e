/** `imgbuild verify IMAGE`: checks everything in an image, and the manifest beside it. */
import * as path from "node:path";
import { escapeName, safeText } from "../bytes/bytestring.js";
import { type PlacedFinding, verifyImage } from "../image/verify.js";
import { IMAGE, MANIFEST } from "../output/artifacts.js";
import { verifyArtifacts, verifyPartitions } from "../output/verify-manifest.js";
import { defineCommand } from "./declare.js";
import { type ImageArgument, imageOperand, withImage } from "./image-argument.js";
import { commonOptions, reporterFor } from "./options.js";
import type { Reporter } from "./progress.js";
import { writeOutput } from "./standard-output.js";

export const verify = defineCommand({
  describe:
    "Checks every structure and every file of an image, and its manifest. Exits with 1 when something is wrong.",
  operands: { image: imageOperand },
  options: commonOptions,
  async run(args) {
    const reporter = reporterFor(args);
    await withImage(args.image, async (argument) => {
      const { checked, findings } = await check(argument, reporter);
      reporter.end();
      const errors = findings.filter(({ severity }) => severity === "error").length;
      if (args.json) {
        const document = { file: argument.file, sound: errors === 0, checked, findings: findings.map(findingJson) };
        await writeOutput([`${JSON.stringify(document)}\n`]);
      } else {
        for (const line of checked) reporter.say(`checked ${line}`);
        const lines = [...findings.map(findingText), `${argument.file}: ${verdict(errors, findings.length - errors)}`];
        await writeOutput([`${lines.map(safeText).join("\n")}\n`]);
      }
      if (errors > 0) process.exitCode = 1;
    });
  },
});

async function check(argument: ImageArgument, reporter: Reporter) {
  const { image, names, manifest, file } = argument;
  const { progress } = reporter.observer;
  const result = await verifyImage(image, names, {
    ...(progress && { progress }),
    stage: (name) => reporter.stage(name),
  });
  const checked = [...result.checked];
  const findings = [...result.findings];
  if (manifest !== undefined) {
    reporter.stage("checksums");
    const folder = path.dirname(file);
    findings.push(...(await verifyArtifacts(folder, manifest)));
    if (path.basename(file) === IMAGE) findings.push(...(await verifyPartitions(image, manifest)));
    checked.push(`${MANIFEST}: ${manifest.artifacts.length} artifacts with size and SHA-256`);
  }
  return { checked, findings };
}

/** "error: partition 2 (rootfs, squashfs): /usr/bin/x: ... (byte 4096), and at 3 more paths; byte 71303168 of the image" */
function findingText({ severity, where, message, path: name, paths = 0, offset }: PlacedFinding): string {
  const about = name === undefined ? "" : `/${escapeName(name)}: `;
  const more = paths > 1 ? `, and at ${paths - 1} more path${paths > 2 ? "s" : ""}` : "";
  const place = offset === undefined || message.includes(`byte ${offset}`) ? "" : `; byte ${offset} of the image`;
  return `${severity}: ${where}: ${about}${message}${more}${place}`;
}

const findingJson = ({ path: name, ...finding }: PlacedFinding) => ({
  ...finding,
  ...(name !== undefined && { path: `/${escapeName(name)}` }),
});

function verdict(errors: number, warnings: number): string {
  const counted = (count: number, what: string) => `${count} ${what}${count === 1 ? "" : "s"}`;
  if (errors > 0) return `${counted(errors, "error")}, ${counted(warnings, "warning")}`;
  return warnings > 0 ? `sound, with ${counted(warnings, "warning")}` : "sound";
}
