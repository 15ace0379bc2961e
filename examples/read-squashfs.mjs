// Lists a folder of an image on a web server, or prints a file: node read-squashfs.mjs URL PATH
import { display, fromText } from "imgbuild/bytes";
import { openSquashfs } from "imgbuild/squashfs";
import { readContent } from "imgbuild/tree";
import { httpDevice } from "./http-device.mjs";

const [url, path] = process.argv.slice(2);
const image = await openSquashfs(await httpDevice(url));
const inode = await image.lookup(fromText(path));
if (inode?.type === "directory") {
  for await (const { type, name } of image.entries(inode)) console.log(type, display(name));
} else if (inode?.type === "file") {
  process.stdout.write(await readContent(await image.content(inode)));
} else {
  console.error(inode === undefined ? `there is no ${path}` : `${path} is a ${inode.type}`);
  process.exitCode = 1;
}
