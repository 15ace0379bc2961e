/**
 * Compares imgbuild with what people use now: time, memory and size, as ratios ours / theirs from runs that alternate, so
 * that a busy machine slows both. `node build/bench/main.js TREE [--runs N] [--record]`; --record keeps the ratios in
 * bench/recorded.json, which later runs show beside theirs.
 */
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { parseArgs } from "node:util";
import { type Case, cases } from "./cases.js";
import { best, type Measurement, measure } from "./measure.js";

const RECORDED = path.resolve(import.meta.dirname, "../../bench/recorded.json");

type Ratios = Readonly<Record<"wall" | "cpu" | "memory" | "size", number>>;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { runs: { type: "string", default: "3" }, record: { type: "boolean", default: false } },
});
const [tree] = positionals;
if (tree === undefined) throw new Error("usage: main.js TREE [--runs N] [--record]");

const scratch = fs.mkdtempSync(path.join(os.tmpdir(), "imgbuild-bench-"));
try {
  const recorded = fs.existsSync(RECORDED)
    ? (JSON.parse(fs.readFileSync(RECORDED, "utf8")) as Record<string, Ratios>)
    : {};
  const results: Record<string, Ratios> = {};
  for (const item of cases(path.resolve(tree), scratch)) {
    results[item.name] = compare(item, Number(values.runs), recorded[item.name]);
  }
  if (values.record) fs.writeFileSync(RECORDED, `${JSON.stringify(results, undefined, 2)}\n`);
} finally {
  fs.rmSync(scratch, { recursive: true, force: true });
}

function compare(item: Case, runs: number, last: Ratios | undefined): Ratios {
  const sides = { ours: [] as Measurement[], theirs: [] as Measurement[] };
  const sizes = { ours: 0, theirs: 0 };
  for (let run = 0; run < runs; run++) {
    for (const side of ["ours", "theirs"] as const) {
      const output = path.join(scratch, side);
      fs.rmSync(output, { recursive: true, force: true });
      fs.mkdirSync(output);
      sides[side].push(measure(item[side](output), scratch));
      sizes[side] = fs.statSync(path.join(output, item.file)).size;
    }
  }
  const [ours, theirs] = [best(sides.ours), best(sides.theirs)];
  const ratios: Ratios = {
    wall: ours.wall / theirs.wall,
    cpu: ours.cpu / theirs.cpu,
    memory: ours.memory / theirs.memory,
    size: sizes.ours / sizes.theirs,
  };
  console.log(`\n${item.name}: imgbuild / ${item.peer}, best of ${runs}`);
  row("", "imgbuild", item.peer, "ratio", "recorded");
  for (const [key, digits, unit, scale] of [
    ["wall", 2, "s", 1],
    ["cpu", 2, "s", 1],
    ["memory", 1, "MB", 1e6],
  ] as const) {
    row(
      key,
      `${(ours[key] / scale).toFixed(digits)} ${unit}`,
      `${(theirs[key] / scale).toFixed(digits)} ${unit}`,
      ratios[key].toFixed(3),
      last?.[key].toFixed(3),
    );
  }
  row(
    "size",
    `${(sizes.ours / 1e6).toFixed(2)} MB`,
    `${(sizes.theirs / 1e6).toFixed(2)} MB`,
    ratios.size.toFixed(4),
    last?.size.toFixed(4),
  );
  return ratios;
}

function row(...cells: (string | undefined)[]): void {
  console.log(`  ${cells.map((cell, i) => (i === 0 ? (cell ?? "").padEnd(8) : (cell ?? "-").padStart(12))).join("")}`);
}
