/** The examples that docs/squashfs-api.md shows: that it shows them as they are, and that they do what it says. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import * as fs from "node:fs";
import * as http from "node:http";
import type { AddressInfo } from "node:net";
import * as path from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { fromText, MemoryDevice } from "../src/bytes/index.js";
import { writeSquashfs } from "../src/squashfs/index.js";
import { addNode, contentOf, newDirectory, newFile } from "../src/tree/index.js";
import { noise } from "./codecs/deflate-data.js";
import { imgbuild, makeRoot } from "./support/cli.js";
import { lacks, run, temporaryFolder } from "./support/tools.js";

const PACKAGE = path.resolve(import.meta.dirname, "../..");
const EXAMPLES = path.join(PACKAGE, "examples");
const read = (...names: string[]) => fs.readFileSync(path.join(PACKAGE, ...names), "utf8");
const DOCUMENT = read("docs/squashfs-api.md");

test("the document shows every example, as it is", () => {
  const shown = Array.from(DOCUMENT.matchAll(/```js\n(.*?)```/gs), ([, code]) => code!);
  const programs = fs.readdirSync(EXAMPLES).filter((name) => name.endsWith(".mjs"));
  const examples = programs.map((name) => read("examples", name));
  assert.ok(examples.length > 0);
  assert.deepEqual(shown.toSorted(), examples.toSorted());
});

test("own-board is a board beside a project, with a file system of its own files", (t) => {
  const folder = temporaryFolder(t);
  const root = makeRoot(folder);
  fs.mkdirSync(path.join(root, "var/lib/logger"), { recursive: true });
  fs.writeFileSync(path.join(root, "boot/imx6dl-logger.dtb"), "a device tree");
  // Another folder than the profile's: what it names lies beside it all the same.
  const small = ["storage.size=200MiB", "partitions.rootfs.size=16MiB", "boot.initramfs=none"];
  const set = small.flatMap((setting) => ["--set", setting]);
  const args = ["-p", path.join(EXAMPLES, "own-board/board.yaml"), root, "-o", "out", "--json", ...set];
  const built = imgbuild(args, { cwd: folder });
  assert.equal(built.status, 0, built.stderr);
  const { partitions, profile } = JSON.parse(built.stdout);
  assert.deepEqual(
    partitions.map(({ name }: { name: string }) => name),
    ["bootfs", "rootfs", "userdata", "calibration"],
  );
  assert.deepEqual(profile.resolved.bootloader.files[1], { file: "u-boot.img", sector: 138 });
  const shipped = read("examples", "own-board/calibration/sensor.txt");
  assert.equal(imgbuild(["cat", "out:calibration", "sensor.txt"], { cwd: folder }).stdout, shipped);
});

test("the document's table has every option of the writer, and no other", () => {
  const [, fields] = /export interface SquashfsOptions \{\n(.*?)\n\}/s.exec(read("src/squashfs/options.ts"))!;
  const options = Array.from(fields!.matchAll(/^ {2}readonly (\w+)/gm), ([, name]) => name!);
  const table = DOCUMENT.slice(DOCUMENT.indexOf("## Options"));
  const rows = Array.from(table.matchAll(/^\| `(\w+)`/gm), ([, name]) => name!);
  assert.deepEqual(rows.toSorted(), options.toSorted());
});

// The other examples run without Node, in portable/web.test.ts.
test("pack-folder packs a folder", (t) => {
  if (lacks(t, "unsquashfs")) return;
  const folder = temporaryFolder(t);
  const [source, image, unpacked] = ["source", "image", "unpacked"].map((name) => path.join(folder, name)) as [
    string,
    string,
    string,
  ];
  fs.mkdirSync(path.join(source, "sub"), { recursive: true });
  for (const name of ["sub/one", "sub/two"]) fs.writeFileSync(path.join(source, name), "the same text");
  const printed = run(process.execPath, [path.join(EXAMPLES, "pack-folder.mjs"), source, image]);
  assert.equal(printed, `2 files, 1 of them stored with another one, in ${fs.statSync(image).size} bytes\n`);
  run("unsquashfs", ["-dest", unpacked, image]);
  assert.equal(fs.readFileSync(path.join(unpacked, "sub/two"), "utf8"), "the same text");
});

test("read-squashfs lists and reads over HTTP, and fetches a part of the image only", async (t) => {
  const tree = { root: newDirectory() };
  addNode(tree, fromText("docs/read me"), newFile(contentOf(new TextEncoder().encode("read over HTTP\n"))));
  addNode(tree, fromText("large"), newFile(contentOf(noise(2 ** 19, 1))));
  const device = new MemoryDevice(2 ** 20);
  const { size } = await writeSquashfs(device, tree, { time: 0 });
  let sent = 0;
  const server = http.createServer(({ method, headers }, response) => {
    response.setHeader("content-length", size);
    if (method === "HEAD") return response.end();
    const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(headers.range!)!;
    const part = device.bytes.subarray(Number(first), Number(last) + 1);
    sent += part.length;
    return response.writeHead(206, { "content-length": part.length }).end(part);
  });
  t.after(() => server.close());
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/image`;
  const read = (...args: string[]) =>
    promisify(execFile)(process.execPath, [path.join(EXAMPLES, "read-squashfs.mjs"), url, ...args]);
  assert.equal((await read("/")).stdout, "directory docs\nfile large\n");
  assert.equal((await read("docs/read me")).stdout, "read over HTTP\n");
  assert.ok(sent > 0 && sent < 2 ** 18);
  await assert.rejects(read("nothing"), ({ stderr }: { stderr: string }) => stderr === "there is no nothing\n");
});
