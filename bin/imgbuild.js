#!/usr/bin/env node
// The command as npm links it. It is in every checkout, compiled or not: npx keeps a package whose command was missing once as one
// that has none.
import { existsSync } from "node:fs";

const main = new URL("../build/src/cli/main.js", import.meta.url);
if (existsSync(main)) {
  await import(main.href);
} else {
  console.error("imgbuild: it is not compiled yet: run make build");
  process.exitCode = 1;
}
