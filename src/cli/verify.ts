/** `imgbuild verify IMAGE`: checks everything in an image, and the manifest beside it. */
import * as fs from "node:fs";
import * as path from "node:path";
import { escapeName, safeText } from "../bytes/bytestring.js";
import { ImgbuildError } from "../errors.js";
import type { OpenedImage } from "../image/open-image.js";
import { type PlacedFinding, type Verification, verifyImage } from "../image/verify.js";
import { IMAGE, MANIFEST } from "../output/artifacts.js";
import { type Manifest, readManifest, singlePartitions } from "../output/manifest.js";
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
    const manifest = withoutImage(args.image);
    if (manifest === undefined) {
      await withImage(args.image, async (argument) =>
        tell(argument.file, await check(argument, reporter), args, reporter),
      );
    } else await tell(args.image, await checkFolder(args.image, manifest, reporter), args, reporter);
  },
});

/** The manifest of an output folder that has no whole image in it; undefined for all else. */
function withoutImage(named: string): Manifest | undefined {
  const isFolder = fs.statSync(named, { throwIfNoEntry: false })?.isDirectory();
  return isFolder && !fs.existsSync(path.join(named, IMAGE)) ? readManifest(named) : undefined;
}

async function tell(
  file: string,
  { checked, findings }: Verification,
  { json }: { json: boolean },
  reporter: Reporter,
): Promise<void> {
  reporter.end();
  const errors = findings.filter(({ severity }) => severity === "error").length;
  if (json) {
    const document = { file, sound: errors === 0, checked, findings: findings.map(findingJson) };
    await writeOutput([`${JSON.stringify(document)}\n`]);
  } else {
    for (const line of checked) reporter.say(`checked ${line}`);
    const lines = [...findings.map(findingText), `${file}: ${verdict(errors, findings.length - errors)}`];
    await writeOutput([`${lines.map(safeText).join("\n")}\n`]);
  }
  if (errors > 0) process.exitCode = 1;
}

async function check({ image, names, manifest, file }: ImageArgument, reporter: Reporter): Promise<Verification> {
  const result = await checkImage(image, names, reporter);
  if (manifest === undefined) return result;
  const artifacts = await checkArtifacts(path.dirname(file), manifest, reporter);
  const partitions = path.basename(file) === IMAGE ? await verifyPartitions(image, manifest) : [];
  return {
    checked: [...result.checked, ...artifacts.checked],
    findings: [...result.findings, ...artifacts.findings, ...partitions],
  };
}

/** Without the whole image: the partitions that there are on their own, and every artifact. */
async function checkFolder(folder: string, manifest: Manifest, reporter: Reporter): Promise<Verification> {
  const checked: string[] = [];
  const findings: PlacedFinding[] = [];
  for (const { partition, file } of singlePartitions(manifest)) {
    // What is missing is found below.
    if (partition.filesystem === "raw" || !fs.existsSync(path.join(folder, file))) continue;
    try {
      const result = await withImage(path.join(folder, file), ({ image }) => checkImage(image, new Map(), reporter));
      checked.push(...result.checked.map((line) => `${file}: ${line}`));
      findings.push(...result.findings.map((finding) => ({ ...finding, where: file })));
    } catch (error) {
      if (!(error instanceof ImgbuildError)) throw error;
      findings.push({ where: file, severity: "error", message: error.message });
    }
  }
  const artifacts = await checkArtifacts(folder, manifest, reporter);
  return { checked: [...checked, ...artifacts.checked], findings: [...findings, ...artifacts.findings] };
}

async function checkImage(image: OpenedImage, names: ReadonlyMap<number, string>, reporter: Reporter) {
  const { progress } = reporter.observer;
  return verifyImage(image, names, { ...(progress && { progress }), stage: (name) => reporter.stage(name) });
}

async function checkArtifacts(folder: string, manifest: Manifest, reporter: Reporter): Promise<Verification> {
  reporter.stage("checksums");
  const findings = await verifyArtifacts(folder, manifest);
  return { checked: [`${MANIFEST}: ${manifest.artifacts.length} artifacts with size and SHA-256`], findings };
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
