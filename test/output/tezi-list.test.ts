/** The list by which the Toradex Easy Installer finds images on a web server. */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { test } from "node:test";
import { imgbuild, makeRoot } from "../support/cli.js";
import { temporaryFolder } from "../support/tools.js";
import { build } from "./build.js";

const image = (name: string, more: object = {}) =>
  JSON.stringify({
    config_format: "2",
    name,
    description: "",
    supported_product_ids: ["0014"],
    blockdevs: [],
    ...more,
  });

const blockdev = (filename: string) => ({
  blockdevs: [{ name: "emmc", partitions: [{ content: { filesystem_type: "raw", rawfiles: [{ filename }] } }] }],
});

/** What the installer asks a server at `url` for: the list, and what that says relative to it. */
function fetched(folder: string, url: string): unknown[] {
  const list = JSON.parse(fs.readFileSync(path.join(folder, "image_list.json"), "utf8"));
  assert.equal(list.config_format, 1);
  return list.images.map((reference: string) => {
    const { pathname, search, hash } = new URL(reference, url);
    assert.equal(search + hash, "");
    return JSON.parse(fs.readFileSync(path.join(folder, decodeURIComponent(pathname)), "utf8")).name;
  });
}

test("several builds and images of others are in one list; files that are no images are not", (t) => {
  const folder = temporaryFolder(t);
  const out = path.join(folder, "out");
  const root = makeRoot(folder);
  build(folder, root, "--format", "tezi", "--set", "tezi.name=Ours", "--set", "tezi.version=1.2.0");
  const put = (name: string, text: string) => {
    fs.mkdirSync(path.dirname(path.join(out, name)), { recursive: true });
    fs.writeFileSync(path.join(out, name), text);
  };
  put("theirs, 50% #1/image.json", image("Theirs"));
  put("theirs, 50% #1/image-nand.json", image("Theirs for NAND"));
  put("theirs, 50% #1/package.json", "{}");
  put("elsewhere/image.json", image("From elsewhere", { icon: "http://server/icon.png", ...blockdev("sub/file") }));
  put("elsewhere/sub/file", "content");
  put("a/b/c/image.json", image("Deep"));
  put("a/b/c/d/image.json", image("Too deep"));
  put(".partial-x/image.json", "not complete");
  put("image_list.json", "old");
  fs.symlinkSync("colibri-imx6", path.join(out, "latest"));

  const result = imgbuild(["tezi-list", out]);
  assert.equal(result.status, 0, result.stderr);
  const names = ["Deep", "Ours", "From elsewhere", "Ours", "Theirs for NAND", "Theirs"];
  assert.deepEqual(fetched(out, "http://server/image_list.json"), names);
  assert.match(result.stdout, /^colibri-imx6\/tezi\/image\.json {2}Ours 1\.2\.0 {2}0014 0015 0016/m);
  // What a build writes for its own folder is the same list.
  const own = path.join(out, "colibri-imx6/image_list.json");
  const before = fs.readFileSync(own, "utf8");
  const { images } = JSON.parse(imgbuild(["tezi-list", path.dirname(own), "--json"]).stdout);
  assert.deepEqual([images.length, images[0].file, images[0].version], [1, "tezi/image.json", "1.2.0"]);
  assert.equal(fs.readFileSync(own, "utf8"), before);
});

test("what is no image is an error that names it, and the list stays", (t) => {
  const folder = temporaryFolder(t);
  const file = path.join(folder, "image.json");
  const refused = (status: number, message: RegExp, ...where: string[]) => {
    const result = imgbuild(["tezi-list", path.join(folder, ...where)]);
    assert.equal(result.status, status);
    assert.match(result.stderr, message);
    assert.equal(fs.readFileSync(path.join(folder, "image_list.json"), "utf8"), "old");
  };
  fs.writeFileSync(path.join(folder, "image_list.json"), "old");
  refused(1, /there is no image for the Toradex Easy Installer/);
  refused(1, /there is no folder .*none/, "none");
  for (const [text, message] of [
    ["{", /image\.json is no description of an image: .*JSON/],
    ["null", /it has no name/],
    ["{}", /it has no name/],
    [image("x", { supported_product_ids: "0014" }), /supported_product_ids/],
    [
      image("x", { u_boot_env: "../../../etc/passwd" }),
      /names "\.\.\/\.\.\/\.\.\/etc\/passwd", which is not in its folder/,
    ],
    [image("x", { icon: "/etc/passwd" }), /names "\/etc\/passwd", which is not in its folder/],
    [image("x", blockdev("a/../../b")), /names "a\/\.\.\/\.\.\/b"/],
    [
      image("x", { icon: "icon.png", ...blockdev("root.squashfs") }),
      /: root\.squashfs, icon\.png are missing beside it/,
    ],
  ] as const) {
    fs.writeFileSync(file, text);
    refused(1, message);
  }
});
