import assert from "node:assert/strict";
import * as path from "node:path";
import { test } from "node:test";
import { fromText } from "../../src/bytes/bytestring.js";
import { isWithin } from "../../src/overlay/keep.js";
import fc from "../support/fast-check.js";
import { lacks, run } from "../support/tools.js";

const RESET = path.resolve(import.meta.dirname, "../../../src/overlay/reset.sh");

test("whether a pattern is of an overlay is what the device's shell says", (t) => {
  if (lacks(t, "busybox", "dash")) return;
  const word = fc.stringMatching(/^[ab.*?[\]!{},()+@x-]{1,5}$/);
  const name = fc.stringMatching(/^[ab.x]{1,4}$/);
  const joined = (words: string[]) => `/${words.join("/")}`;
  const random = fc.sample(
    fc.tuple(fc.array(word, { maxLength: 4 }).map(joined), fc.array(name, { maxLength: 3 }).map(joined)),
    { numRuns: 3000, seed: 1 },
  );
  const pairs = [
    ...[
      "/home/root",
      "/home/root/",
      "/home",
      "/",
      "/home/*/x",
      "/h?me/.*",
      "//home//root//x",
      "/home/r",
      "/*/*/.ssh",
    ].map((pattern) => [pattern, "/home/root"] as const),
    ...[["/etc/x", "/"] as const, ["/[!a]b/c", "/bb"] as const, ["/[a-c]/c", "/b/d"] as const],
    ...random,
  ];
  // A line each: pattern, overlay.
  const script = `. ${RESET}
    while IFS=' ' read -r pattern path; do within_overlay && echo yes || echo no; done`;
  for (const shell of [["dash"], ["busybox", "ash"]]) {
    const said = run(shell[0]!, [...shell.slice(1), "-c", script], {
      input: Buffer.from(pairs.map(([pattern, overlay]) => `${pattern} ${overlay}\n`).join("")),
    }).split("\n");
    assert.ok(["yes", "no"].every((word) => said.filter((line) => line === word).length > 300));
    for (const [i, [pattern, overlay]] of pairs.entries())
      assert.equal(isWithin(fromText(pattern), fromText(overlay)) ? "yes" : "no", said[i], `${pattern} in ${overlay}`);
  }
});
