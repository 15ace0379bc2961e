/** Writes docs/profiles.md from the schema, after `npm run build`. */
import * as fs from "node:fs";
import { profileDocs } from "../build/src/profile/docs.js";

fs.writeFileSync(new URL("../docs/profiles.md", import.meta.url), profileDocs());
