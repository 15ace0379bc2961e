/**
 * Compares imgbuild with what people use now: time, memory and size, as ratios ours / theirs from runs that alternate, so
 * that a busy machine slows both. `node build/bench/main.js TREE [--runs N] [--only TEXT] [--large] [--record]`: --only runs
 * the cases whose names contain the text, --large also those that take long, --record keeps the ratios in
 * bench/recorded.json, which later runs show beside theirs. Ends with 1 where a case took more CPU time than its limit.
 */
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { parseArgs } from "node:util";
import { type Case, cases } from "./cases.js";
import { best, type Measurement, measure } from "./measure.js";

const RECORDED = path.resolve(import.meta.dirname, "../../bench/recorded.json");

const COLUMNS = ["wall", "cpu", "memory", "size"] as const;
type Ratios = Readonly<Record<(typeof COLUMNS)[number], number>>;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    runs: { type: "string", default: "3" },
    only: { type: "string", default: "" },
    large: { type: "boolean", default: false },
    record: { type: "boolean", default: false },
  },
});
const [tree] = positionals;
if (tree === undefined) throw new Error("usage: main.js TREE [--runs N] [--only TEXT] [--large] [--record]");

const scratch = fs.mkdtempSync(path.join(os.tmpdir(), "imgbuild-bench-"));
try {
  const recorded = fs.existsSync(RECORDED)
    ? (JSON.parse(fs.readFileSync(RECORDED, "utf8")) as Record<string, Ratios>)
    : {};
  const results: Record<string, Ratios> = {};
  const beyond: string[] = [];
  for (const item of cases(path.resolve(tree), scratch)) {
    if (!item.name.includes(values.only) || (item.large && !values.large)) continue;
    const ratios = compare(item, item.large ? 1 : Number(values.runs));
    results[item.name] = ratios;
    if (item.limit !== undefined && ratios.cpu > item.limit) {
      beyond.push(`${item.name} (${ratios.cpu.toFixed(3)}, at most ${item.limit})`);
    }
  }
  printTable(results, recorded);
  if (values.record) fs.writeFileSync(RECORDED, `${JSON.stringify({ ...recorded, ...results }, rounded, 2)}\n`);
  if (beyond.length > 0) {
    console.error(`\nmore CPU time than allowed: ${beyond.join("; ")}`);
    process.exitCode = 1;
  }
} finally {
  fs.rmSync(scratch, { recursive: true, force: true });
}

/** Runs both sides in turn, and prints what they took. */
function compare(item: Case, runs: number): Ratios {
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
  const ours = { ...best(sides.ours), size: sizes.ours };
  const theirs = { ...best(sides.theirs), size: sizes.theirs };
  console.log(`\n${item.name}, best of ${runs}`);
  for (const [who, { wall, cpu, memory, size }] of [
    ["imgbuild", ours],
    [item.peer, theirs],
  ] as const) {
    console.log(
      `  ${who.padEnd(12)}${wall.toFixed(2)} s, ${cpu.toFixed(2)} s of CPU, ${(memory / 1e6).toFixed(0)} MB of memory, ${(size / 1e6).toFixed(2)} MB`,
    );
  }
  return {
    wall: ours.wall / theirs.wall,
    cpu: ours.cpu / theirs.cpu,
    memory: ours.memory / theirs.memory,
    size: ours.size / theirs.size,
  };
}

/** The ratios ours / theirs, and in brackets those that were recorded last. */
function printTable(results: Readonly<Record<string, Ratios>>, recorded: Readonly<Record<string, Ratios>>): void {
  console.log(`\n${"imgbuild / peer".padEnd(38)}${COLUMNS.map((column) => column.padEnd(18)).join("")}`);
  for (const [name, ratios] of Object.entries(results)) {
    const cells = COLUMNS.map((column) => {
      const last = recorded[name]?.[column];
      return `${ratios[column].toFixed(3)} (${last === undefined ? "-" : last.toFixed(3)})`.padEnd(18);
    });
    console.log(`${name.padEnd(38)}${cells.join("")}`);
  }
}

/** Four digits are more than the machine is worth. */
function rounded(_key: string, value: unknown): unknown {
  return typeof value === "number" ? Number(value.toFixed(4)) : value;
}
