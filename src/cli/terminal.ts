/** Colours, only where they are wanted: on a terminal, and without NO_COLOR. */
import { styleText } from "node:util";

type Style = "red" | "yellow" | "cyan";

/** `text` in a style, if standard error shows styles. */
export function paint(style: Style, text: string): string {
  if (!process.stderr.isTTY || (process.env.NO_COLOR ?? "") !== "") return text;
  return styleText(style, text, { stream: process.stderr });
}
