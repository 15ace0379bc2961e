/** What a root needs for UserData to grow. */
import * as fs from "node:fs";
import * as path from "node:path";
import { PROJECT } from "./image.js";

/** Debian's programs for arm64 with the libraries that they need, laid out as in a root file system. */
export function growingPrograms(folder: string): string {
  const parts = path.join(PROJECT, ".cache/debian/systemd");
  const places = ["bin", "sbin", "lib/aarch64-linux-gnu"].flatMap((place) => [place, `usr/${place}`]);
  const copy = (wanted: RegExp, to: string) => {
    fs.mkdirSync(path.join(folder, to), { recursive: true });
    for (const place of places) {
      const from = path.join(parts, place);
      for (const name of fs.existsSync(from) ? fs.readdirSync(from) : []) {
        if (wanted.test(name)) fs.copyFileSync(path.join(from, name), path.join(folder, to, name));
      }
    }
  };
  copy(/^(sfdisk|partx|resize2fs)$/, "sbin");
  copy(
    /^lib(c|fdisk|blkid|uuid|smartcols|ext2fs|e2p|com_err|readline|tinfo|pthread|crypto|z|zstd)\.so\.\d+$/,
    "lib/aarch64-linux-gnu",
  );
  copy(/^ld-linux-aarch64\.so\.1$/, "lib");
  return folder;
}
