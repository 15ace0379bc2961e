/** The completion script, run by bash as it runs it when somebody presses the tabulator key. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { imgbuild } from "../support/cli.js";
import { lacks, run, temporaryFolder } from "../support/tools.js";

const SCRIPT = imgbuild(["completion"]).stdout;

/** What bash proposes behind a line; "=" is a word of its own, as in bash. */
function proposed(line: string): string[] {
  const words = line.split(/(=)| /).filter((word) => word !== undefined);
  const program = `${SCRIPT}
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _imgbuild; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const { stdout, stderr } = spawnSync("bash", ["-c", program, "bash", ...words], { encoding: "utf8" });
  assert.equal(stderr, "");
  return stdout.split("\n").filter((word) => word !== "");
}

test("commands, options and values are completed", (t) => {
  if (lacks(t, "bash")) return;
  assert.deepEqual(proposed("imgbuild sq"), ["squashfs"]);
  assert.deepEqual(proposed("imgbuild squashfs --comp"), ["--compressor"]);
  assert.deepEqual(proposed("imgbuild squashfs --no-"), [
    "--no-xattrs",
    "--no-fragments",
    "--no-dedupe",
    "--no-sparse",
  ]);
  assert.deepEqual(proposed("imgbuild squashfs -q root -c "), ["gzip", "xz", "zstd", "lz4", "lzo"]);
  assert.deepEqual(proposed("imgbuild squashfs --compressor=l"), ["lz4", "lzo"]);
  assert.deepEqual(proposed("imgbuild squashfs --compressor="), ["gzip", "xz", "zstd", "lz4", "lzo"]);
  assert.deepEqual(proposed("imgbuild fat --type 1"), ["12", "16"]);
  assert.deepEqual(proposed("imgbuild --profile colibri-imx8"), ["colibri-imx8x"]);
  assert.deepEqual(proposed("imgbuild build -p qemu-arm6"), ["qemu-arm64"]);
  assert.deepEqual(proposed("imgbuild profiles sabre"), ["sabrelite"]);
  assert.deepEqual(proposed("imgbuild --boot"), ["--boot-files", "--bootloader"]);
});

test("what is a file is left to the shell", (t) => {
  if (lacks(t, "bash")) return;
  for (const line of ["imgbuild squashfs ", "imgbuild squashfs --sort ", "imgbuild boot -", "imgbuild ./ro"]) {
    const words = proposed(line);
    assert.ok(line.endsWith("-") ? words.includes("--direct") : words.length === 0, `${line}: ${words}`);
  }
  assert.match(SCRIPT, /^complete -o default -F _imgbuild imgbuild$/m);
});

test("an interactive bash takes the script", (t) => {
  if (lacks(t, "bash")) return;
  const folder = temporaryFolder(t);
  assert.equal(
    run("bash", ["-euc", `${SCRIPT}\ncomplete -p imgbuild`], { cwd: folder })
      .trim()
      .split(" ")
      .at(-1),
    "imgbuild",
  );
});
