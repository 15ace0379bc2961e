/** Lengths and places in profiles: people write 64MiB, the plan has bytes. */
import { z } from "zod";
import { parseSize } from "../bytes/size.js";

const sizeText = z.union([z.int().nonnegative(), z.string()]);

/** A `text` that `parse` reads; what it throws becomes an issue that says what is `wanted`. */
function parsed<In extends z.ZodType<string | number>, T>(text: In, parse: (value: z.output<In>) => T, wanted: string) {
  return text.transform((value, context) => {
    try {
      return parse(value);
    } catch {
      context.addIssue({ code: "custom", message: `"${value}" is ${wanted}` });
      return z.NEVER;
    }
  });
}

/** In bytes. */
export function size(description: string) {
  return parsed(sizeText, parseSize, "not a size: write 4096, 64KiB, 64MiB or 1.5GiB").describe(description);
}

/** Of a partition, in bytes where it does not follow from something else. */
export const partitionSize = parsed(
  z.union([z.int().positive(), z.string()]),
  (value) => (value === "fit" || value === "rest" ? value : parseSize(value)),
  'not a size: write 64MiB, "fit" or "rest"',
).describe('Its length: 64MiB; "fit", what the content needs and the headroom; or "rest", what the others leave.');

/** Bytes, or a share of the content. */
export const headroom = parsed(
  sizeText,
  (value) => {
    const percent = /^(\d+(?:\.\d+)?) ?%$/.exec(String(value));
    return percent ? { share: Number(percent[1]) / 100 } : { bytes: parseSize(value) };
  },
  "neither a size nor a share: write 16MiB or 25%",
).describe('With "fit": room beyond the content, as a size or as a share of it (25%).');
