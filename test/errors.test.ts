import assert from "node:assert/strict";
import * as fs from "node:fs";
import { test } from "node:test";
import { ERROR_CODES } from "../src/errors.js";

test("docs/errors.md explains every code, in the order of the list, and no other", () => {
  const text = fs.readFileSync(new URL("../../docs/errors.md", import.meta.url), "utf8");
  const documented = [...text.matchAll(/^\| ([a-z][a-z-]+) +\|/gm)].map(([, code]) => code);
  assert.deepEqual(
    documented.filter((code) => code !== "code" && code !== "exit"),
    [...ERROR_CODES],
  );
});
