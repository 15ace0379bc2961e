// Packs a folder into a SquashFS image, in Node: node pack-folder.mjs FOLDER IMAGE
import { FileDevice, readDirectory } from "imgbuild/host";
import { writeSquashfs } from "imgbuild/squashfs";
import { applyOwner, newestTime } from "imgbuild/tree";

const [folder, image] = process.argv.slice(2);
const tree = await readDirectory(folder);
applyOwner(tree, { uid: 0, gid: 0 });

// Without a size the device grows as it is written to.
const device = new FileDevice(image);
try {
  const options = { time: newestTime(tree), observer: { notice: (text) => console.error(text) } };
  const { size, files, duplicates } = await writeSquashfs(device, tree, options);
  device.resize(size);
  console.log(`${files} files, ${duplicates} of them stored with another one, in ${size} bytes`);
} finally {
  device.close();
}
