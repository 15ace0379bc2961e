/** Trees that are too large to keep: made when they are first wanted. */
import * as fs from "node:fs";
import * as path from "node:path";

/** `count` whole copies of `tree` side by side: its content many times over, for writers that are told not to look for that. */
export function makeCopies(tree: string, folder: string, count: number): void {
  if (fs.existsSync(folder)) return;
  for (let copy = 0; copy < count; copy++) {
    fs.cpSync(tree, path.join(folder, String(copy)), { recursive: true, verbatimSymlinks: true });
  }
}

/** `count` files of 100 to 300 bytes, all different. */
export function makeSmallFiles(folder: string, count: number, inEachFolder = 1000): void {
  if (fs.existsSync(folder)) return;
  const words = "lowerdir upperdir workdir squashfs userdata bootfs inode extent fragment superblock".split(" ");
  for (let file = 0; file < count; file++) {
    const parent = path.join(folder, String(Math.floor(file / inEachFolder)));
    if (file % inEachFolder === 0) fs.mkdirSync(parent, { recursive: true });
    let text = `${file}\n`;
    for (let word = file; text.length < 100 + (file % 200); word = (word * 7 + 3) % 9973)
      text += `${words[word % 10]} `;
    fs.writeFileSync(path.join(parent, `file-${file}.conf`), text);
  }
}
