/**
 * What a profile may say, each key with a schema of its own beside this file. The descriptions are the documentation: `imgbuild schema`
 * prints them as JSON Schema.
 */
import { z } from "zod";
import { ARCHITECTURES } from "../image/plan.js";
import { DEFAULT_OUTPUTS, describeOutputs, OUTPUT_NAMES } from "../output/outputs.js";
import { bootSchema } from "./boot-schema.js";
import { bootloaderSchema } from "./bootloader-schema.js";
import { emulatorSchema } from "./emulator-schema.js";
import { flashSchema } from "./flash-schema.js";
import { overlaySchema } from "./overlay-schema.js";
import { partitionsSchema } from "./partition-schema.js";
import { withExamples } from "./schema-keys.js";
import { slotsSchema } from "./slots-schema.js";
import { storageSchema } from "./storage-schema.js";
import { teziSchema } from "./tezi-schema.js";
import { updateSchema } from "./update-schema.js";

export const profileSchema = z
  .strictObject({
    extends: z
      .string()
      .optional()
      .describe("A shipped profile, or a file, whose values are taken where this one is silent."),
    abstract: z
      .boolean()
      .optional()
      .describe("This file is for others to extend: no image can be built of it as it is."),
    description: z.string().default("").describe("What the board is, in a line, for lists."),
    architecture: z.enum(ARCHITECTURES).describe("The processor the kernel is for."),
    seed: z
      .string()
      .optional()
      .describe(
        "All UUIDs and ids follow from this text and the names, metadata and sizes in the root. Default: the name.",
      ),
    storage: storageSchema,
    partitions: partitionsSchema,
    bootloader: bootloaderSchema,
    boot: bootSchema,
    overlay: overlaySchema,
    flash: flashSchema,
    update: updateSchema,
    outputs: z
      .array(z.enum(OUTPUT_NAMES))
      .min(1)
      .default([...DEFAULT_OUTPUTS])
      .describe(`What is made of the image. ${describeOutputs()}.`),
    tezi: teziSchema.optional(),
    slots: slotsSchema,
    emulator: emulatorSchema,
  })
  .describe("An imgbuild profile: a board, and what its image is made of.");

export type Profile = z.output<typeof profileSchema>;

/** As much of JSON Schema as is in ours. */
export interface SchemaNode {
  readonly title?: string;
  readonly description?: string;
  readonly type?: string | readonly string[];
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly format?: string;
  readonly default?: unknown;
  readonly examples?: readonly unknown[];
  readonly properties?: Readonly<Record<string, SchemaNode>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: SchemaNode | boolean;
  readonly items?: SchemaNode;
  readonly anyOf?: readonly SchemaNode[];
  readonly oneOf?: readonly SchemaNode[];
}

/** The JSON Schema of what a profile file may hold, with examples. */
export function jsonSchema(): SchemaNode {
  const schema = z.toJSONSchema(profileSchema, { io: "input" }) as SchemaNode;
  return { ...withExamples(schema), title: "imgbuild profile" };
}
