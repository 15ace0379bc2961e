/** Lengths and places in profiles: people write 64MiB, the plan has bytes. */
import { Scalar } from "yaml";
import { z } from "zod";
import { parseSize } from "../bytes/size.js";
import { isNot } from "./issue-text.js";
import type { SchemaNode } from "./schema.js";

/** A number or text that `parse` reads; for what it throws at, the issue says what is `wanted`. */
function parsed<T>(number: z.ZodType<number>, parse: (value: number | string) => T, wanted: string) {
  return z.union([number, z.string()], wanted).transform((value, context) => {
    try {
      return parse(value);
    } catch {
      context.addIssue({ code: "custom", message: isNot(value, wanted) });
      return z.NEVER;
    }
  });
}

/** What the schema says of addresses, which are shown in hexadecimal. */
const ADDRESS = "address";

/** An address in memory. */
export function address(description: string) {
  return z.int().nonnegative().describe(description).meta({ format: ADDRESS });
}

/** A value of a key of that schema, for YAML: addresses in hexadecimal. */
export function shown(value: unknown, { format }: SchemaNode): unknown {
  if (format !== ADDRESS || typeof value !== "number") return value;
  const scalar = new Scalar(value);
  scalar.format = "HEX";
  return scalar;
}

/** In bytes. */
export function size(description: string) {
  return parsed(z.int().nonnegative(), parseSize, "a size such as 4096, 64KiB or 1.5GiB").describe(description);
}

/** Of a partition, in bytes where it does not follow from something else. */
export const partitionSize = parsed(
  z.int().positive(),
  (value) => (value === "fit" || value === "rest" ? value : parseSize(value)),
  'a size such as 64MiB, "fit" or "rest"',
).describe('Its length: 64MiB; "fit", what the content needs and the headroom; or "rest", what the others leave.');

/** Bytes, or a share of the content. */
export const headroom = parsed(
  z.int().nonnegative(),
  (value) => {
    const percent = /^(\d+(?:\.\d+)?) ?%$/.exec(String(value));
    return percent ? { share: Number(percent[1]) / 100 } : { bytes: parseSize(value) };
  },
  "a size such as 16MiB, or a share such as 25%",
).describe('With "fit": room beyond the content, as a size or as a share of it (25%).');
