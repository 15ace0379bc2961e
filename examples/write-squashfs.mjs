// Writes a SquashFS image of a tree that is made in memory. Runs wherever JavaScript does.
import { fromText, MemoryDevice } from "imgbuild/bytes";
import { writeSquashfs } from "imgbuild/squashfs";
import { addNode, contentOf, newDirectory, newFile, newMetadata } from "imgbuild/tree";

/** The image as an array of bytes. */
export async function writeExample() {
  const tree = { root: newDirectory() };
  const add = (path, node) => addNode(tree, fromText(path), node);
  const text = new TextEncoder().encode("Hello from SquashFS.\n".repeat(10_000));
  add("usr/share/hello.txt", newFile(contentOf(text), { mode: 0o640, uid: 1000, gid: 100 }));
  add("etc/hello", { type: "symlink", ...newMetadata(0o777), target: fromText("../usr/share/hello.txt") });
  add("dev/console", { type: "character", ...newMetadata(0o600), major: 5, minor: 1 });

  // A device has a size. This one is as large as the image may become; what was written is its beginning.
  const device = new MemoryDevice(2 ** 20);
  const { size } = await writeSquashfs(device, tree, { time: 0, level: 9 });
  return device.bytes.subarray(0, size);
}
