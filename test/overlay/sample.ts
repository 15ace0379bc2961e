/** A small root file system for the tests of this folder: busybox and its applets, as links. */
import { fromText } from "../../src/bytes/bytestring.js";
import { contentOf, newDirectory, newFile, newMetadata } from "../../src/tree/node.js";
import { addNode, type Tree } from "../../src/tree/tree.js";

export const link = (target: string) => ({ type: "symlink", ...newMetadata(0o777), target: fromText(target) }) as const;

export const program = () => newFile(contentOf(Buffer.from("\x7fELF")), { mode: 0o755 });

const APPLETS = [
  ...[
    "cat",
    "chmod",
    "chown",
    "cmp",
    "cp",
    "date",
    "df",
    "du",
    "grep",
    "ln",
    "mkdir",
    "mount",
    "mv",
    "pivot_root",
    "readlink",
  ],
  ...["rm", "rmdir", "sed", "sh", "sha256sum", "stat", "sync", "tar", "touch", "tr", "umount"],
];

export function sampleTree(): Tree {
  const tree: Tree = { root: newDirectory() };
  addNode(tree, fromText("bin/busybox"), program());
  for (const applet of APPLETS) addNode(tree, fromText(`bin/${applet}`), link("busybox"));
  addNode(tree, fromText("sbin/init"), link("../bin/busybox"));
  return tree;
}
