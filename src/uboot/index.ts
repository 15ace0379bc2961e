/**
 * What U-Boot reads. A boot.scr in the order in which it lies in its file:
 *
 *     byte  length  holds
 *        0      64  legacy image header: magic, two checksums, time, name; all big-endian
 *       64       8  length of the script, and a zero
 *       72     ...  the script: hush, in ASCII
 *
 *     script-image.ts   the file       boot-script.ts   the script in it; slot-script.ts   its part about two roots
 *
 * And its environment:
 *
 *        0       4  CRC-32 of what is behind the header, little-endian
 *        4       1  redundant ones only: which copy is newer
 *      4/5     ...  variables, each with a NUL behind it; an empty one; padding
 *
 *     environment.ts    reading and making one
 */
export { type BootScript, bootScript } from "./boot-script.js";
export {
  checkVariable,
  decodeEnvironment,
  type Environment,
  type EnvironmentCopy,
  type EnvironmentOptions,
  encodeEnvironment,
  formatEnvironment,
  newerCopy,
  nextFlag,
  parseEnvironment,
} from "./environment.js";
export { decodeScript, encodeScript, type Script, type ScriptOptions } from "./script-image.js";
export { type BootSlots, SLOT_ENVIRONMENT_SIZE } from "./slot-script.js";
