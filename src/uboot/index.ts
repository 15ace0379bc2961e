/**
 * What U-Boot reads. A boot.scr in the order in which it lies in its file:
 *
 *     byte  length  holds
 *        0      64  legacy image header: magic, two checksums, time, name; all big-endian
 *       64       8  length of the script, and a zero
 *       72     ...  the script: hush, in ASCII
 *
 *     script-image.ts   the file       boot-script.ts   the script in it
 */
export { type BootScript, bootScript } from "./boot-script.js";
export { decodeScript, encodeScript, type Script, type ScriptOptions } from "./script-image.js";
