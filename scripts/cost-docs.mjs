/** Writes the costs of outputs into docs/outputs.md from bench/recorded.json, after `npm run build`. */
import fs from "node:fs";
import { withCosts } from "../build/bench/costs.js";

const document = new URL("../docs/outputs.md", import.meta.url);
const recorded = JSON.parse(fs.readFileSync(new URL("../bench/recorded.json", import.meta.url), "utf8"));
fs.writeFileSync(document, withCosts(fs.readFileSync(document, "utf8"), recorded));
