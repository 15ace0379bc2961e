/** Where a layer over the root comes from, as a profile says it and as the device is told. */
import { ImgbuildError } from "../errors.js";

export type LayerSource =
  /** A SquashFS file on UserData. */
  | { readonly kind: "userdata"; readonly file: string }
  /** A partition of the disk that the root is on, by its number. */
  | { readonly kind: "partition"; readonly number: number }
  /** Any device, as mount(8) finds it: LABEL=apps. */
  | { readonly kind: "device"; readonly specification: string };

const SPECIFICATION = /^(?:LABEL|UUID|PARTLABEL|PARTUUID)=[!-~]+$/;
/** What the configuration's lines can say. */
const FILE = /^(?!.*(?:^|\/)\.\.?(?:\/|$))[A-Za-z0-9_.+@%-][!-~]*$/;

/**
 * Reads "userdata:apps/app.squashfs", "partition:NAME", "LABEL=apps" or the like. `numberOf` tells the number of the partition
 * that the profile calls NAME. Throws `profile-invalid`.
 */
export function parseLayerSource(text: string, numberOf: (name: string) => number): LayerSource {
  if (SPECIFICATION.test(text)) return { kind: "device", specification: text };
  const colon = text.indexOf(":");
  const [kind, rest] = [text.slice(0, Math.max(colon, 0)), text.slice(colon + 1)];
  if (kind === "userdata" && FILE.test(rest)) return { kind, file: rest };
  if (kind === "partition" && rest !== "") return { kind, number: numberOf(rest) };
  throw new ImgbuildError("profile-invalid", `a layer cannot come from "${text}"`, {
    hint: "Write userdata:FILE, relative to UserData; partition:NAME, of this profile; or LABEL=, UUID=, PARTLABEL= or PARTUUID=.",
  });
}

/** The end of a line in preinit.conf. */
export function layerSourceLine(source: LayerSource): string {
  switch (source.kind) {
    case "userdata":
      return `userdata ${source.file}`;
    case "partition":
      return `partition ${source.number}`;
    default:
      return `device ${source.specification}`;
  }
}
