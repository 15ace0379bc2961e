import * as fs from "node:fs";

/** imgbuild's own version, from its package.json. */
export function version(): string {
  const file = new URL("../../../package.json", import.meta.url);
  return (JSON.parse(fs.readFileSync(file, "utf8")) as { version: string }).version;
}
