// A Worker of a web page that packs files: it gets [{ path, file }, ...], each file a Blob or a File, and answers with the image.
import { fromText, MemoryDevice } from "imgbuild/bytes";
import { writeSquashfs } from "imgbuild/squashfs";
import { addNode, newDirectory, newFile } from "imgbuild/tree";

/** What a Blob has, read when the writer asks for it. */
const contentOfBlob = (blob) => ({
  size: blob.size,
  async open() {
    return {
      async read(at, into) {
        into.set(new Uint8Array(await blob.slice(at, at + into.length).arrayBuffer()));
      },
      async close() {},
    };
  },
});

self.onmessage = async ({ data: files }) => {
  const tree = { root: newDirectory() };
  for (const { path, file } of files) addNode(tree, fromText(path), newFile(contentOfBlob(file)));

  // Contents never become larger. A KiB for the metadata of each file, and a MiB for all else, is plenty.
  const room = files.reduce((sum, { file }) => sum + file.size + 1024, 2 ** 20);
  const device = new MemoryDevice(room);
  const { size } = await writeSquashfs(device, tree, { time: 0 });
  const image = device.bytes.slice(0, size);
  self.postMessage(image, [image.buffer]);
};
