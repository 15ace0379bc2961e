/**
 * The Toradex Easy Installer as far as an image concerns it, written from its sources a second time: what it reads of an
 * image.json (tezi.schema, dto/*.cpp), where it puts partitions (multiimagewritethread.cpp), and an installation on files.
 */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { crc32 } from "../../src/bytes/checksum.js";
import { run } from "../support/tools.js";

interface RawFile {
  filename: string;
  dd_options?: string;
  offset?: number;
  product_ids?: string[];
}
interface Content {
  filesystem_type?: string;
  label?: string;
  mkfs_options?: string;
  filename?: string;
  filelist?: string[];
  rawfiles?: RawFile[];
  rawfile?: RawFile;
}
interface Partition {
  partition_size_nominal?: number;
  want_maximised?: boolean;
  offset_in_sectors?: number;
  requires_partition_number?: number;
  active?: boolean;
  partition_type?: string;
  content?: Content;
}
interface BlockDevice {
  name: string;
  erase?: boolean;
  table_type?: string;
  partitions?: Partition[];
  content?: Content;
}
export interface ImageInfo {
  config_format: number;
  name: string;
  supported_product_ids: string[];
  blockdevs: BlockDevice[];
}

const FILE_SYSTEMS = ["ext2", "ext3", "ext4", "swap", "fat", "FAT", "ntfs", "ubifs", "raw"];
const TYPES: Readonly<Record<string, string>> = {
  autoinstall: "boolean",
  isinstaller: "boolean",
  ...Object.fromEntries(
    ["name", "description", "version", "release_date", "prepare_script", "wrapup_script", "error_script", "u_boot_env"]
      .concat(["marketing", "icon", "license", "license_title", "releasenotes"])
      .map((key) => [key, "string"]),
  ),
};

function checkContent(content: Content | undefined, where: string): void {
  if (content === undefined) return;
  const type = content.filesystem_type ?? "raw";
  assert.ok(FILE_SYSTEMS.includes(type), `${where}: Unkown file system type ${type}`);
  for (const key of ["label", "mkfs_options", "filename"] as const) {
    if (content[key] !== undefined) assert.equal(typeof content[key], "string", `${where}.${key}`);
  }
  assert.ok((content.label ?? "").length <= 15, `${where}: the label is left out`);
  for (const raw of [...(content.rawfiles ?? []), ...(content.rawfile ? [content.rawfile] : [])]) {
    assert.equal(typeof raw.filename, "string", where);
    if (raw.offset) assert.doesNotMatch(raw.dd_options ?? "", /bs|seek/, `${where}: offset and dd_options`);
    for (const id of raw.product_ids ?? []) assert.match(id, /^\d{4}$/);
  }
}

/** What an image uses that not every installer has, with the config_format of the first version that does. */
function* featuresOf(image: ImageInfo & Record<string, unknown>): Generator<[string, number]> {
  if (image.u_boot_env !== undefined) yield ["u_boot_env", 2];
  if (image.error_script !== undefined) yield ["error_script", 3];
  for (const { table_type, partitions = [], content } of image.blockdevs) {
    if (table_type === "gpt") yield ["table_type gpt", 2];
    if (table_type === "gpt" && partitions.some(({ active }) => active)) yield ["active in a GPT", 4];
    for (const one of [content, ...partitions.map((partition) => partition.content)]) {
      if (one?.rawfiles?.some(({ offset }) => offset)) yield ["offset", 5];
      const names = [one?.filename, ...(one?.rawfiles ?? []).map(({ filename }) => filename)];
      if (names.some((name) => name?.endsWith(".zst"))) yield ["Zstandard", 3];
    }
  }
}

/** Reads an image.json as the installer does. Throws where it would refuse the image. */
export function readImageJson(text: string): ImageInfo {
  const image = JSON.parse(text) as ImageInfo & Record<string, unknown>;
  for (const key of ["config_format", "name", "description", "supported_product_ids"]) assert.ok(key in image, key);
  for (const [key, type] of Object.entries(TYPES)) {
    if (key in image) assert.equal(typeof image[key], type, key);
  }
  // Qt's toInt takes texts, too.
  const config_format = Number(image.config_format);
  assert.ok(config_format >= 1 && config_format <= 5, `config_format ${config_format}`);
  for (const [feature, format] of featuresOf(image)) {
    assert.ok(config_format >= format, `${feature} needs format ${format}, and it says ${config_format}`);
  }
  for (const id of image.supported_product_ids) assert.match(id, /^\d{4}$/);
  for (const device of image.blockdevs) {
    assert.equal(typeof device.name, "string");
    assert.ok("partitions" in device || "content" in device, device.name);
    assert.ok(["dos", "gpt", undefined].includes(device.table_type), device.table_type);
    checkContent(device.content, device.name);
    const most = device.table_type === "gpt" ? 16 : 4;
    assert.ok((device.partitions ?? []).length <= most, `more than ${most} partitions`);
    for (const [index, partition] of (device.partitions ?? []).entries()) {
      checkContent(partition.content, `${device.name}, partition ${index + 1}`);
    }
  }
  return { ...image, config_format };
}

export interface Place {
  number: number;
  start: number;
  size: number;
  partition: Partition;
}

/** processPartitions, with integers as C++ has them. */
export function placesOf({ partitions = [], table_type = "dos" }: BlockDevice, sectors: number): Place[] {
  const ALIGNMENT = 8192;
  let totalSectors = sectors;
  if (table_type === "gpt") totalSectors -= 34;
  const availableMB = Math.trunc((totalSectors - ALIGNMENT) / 2048);
  const map = new Map<number, Partition>();
  let nominal = 0;
  let expanding = 0;
  for (const partition of partitions) {
    if (partition.want_maximised) expanding++;
    nominal += partition.partition_size_nominal ?? 0;
    const wanted = partition.requires_partition_number;
    if (wanted) {
      assert.ok(!map.has(wanted), `More than one content requires partition number ${wanted}`);
      map.set(wanted, partition);
    }
    if (partition.want_maximised || ((partition.partition_size_nominal ?? 0) * 2048) % ALIGNMENT !== 0)
      nominal += ALIGNMENT / 2048;
  }
  const extra = expanding > 0 ? Math.trunc((availableMB - nominal) / expanding) : 0;
  assert.ok(nominal <= availableMB, `Not enough disk space. Need ${nominal} MB, got ${availableMB} MB`);
  let next = 1;
  for (const partition of partitions) {
    if (partition.requires_partition_number) continue;
    while (map.has(next)) next++;
    map.set(next, partition);
  }
  const ordered = [...map].sort(([a], [b]) => a - b);
  let offset = ALIGNMENT;
  return ordered.map(([number, partition], index) => {
    if (partition.offset_in_sectors) {
      assert.ok(partition.offset_in_sectors >= offset, "Fixed partition offset too low");
      offset = partition.offset_in_sectors;
    } else if (offset % ALIGNMENT !== 0) offset += ALIGNMENT - (offset % ALIGNMENT);
    let size = ((partition.partition_size_nominal ?? 0) + (partition.want_maximised ? extra : 0)) * 2048;
    if (index === ordered.length - 1) {
      if (partition.want_maximised) size = totalSectors - offset;
    } else if (partition.want_maximised && size % ALIGNMENT !== 0) size += ALIGNMENT - (size % ALIGNMENT);
    const start = offset;
    offset += size;
    return { number, start, size, partition };
  });
}

/** The type that an entry gets (blockdevpartitioninfo.cpp). */
export function typeOf({ partition_type, content }: Partition): string {
  if (partition_type !== undefined) return partition_type;
  if (content === undefined) return "00";
  const type = (content.filesystem_type ?? "raw").toLowerCase();
  return type === "fat" ? "0c" : type === "raw" ? "00" : "83";
}

const DECOMPRESS: Readonly<Record<string, string>> = { ".gz": "gzip -dc", ".xz": "xz -dc", ".zst": "zstd -dc" };
const catOf = (file: string) => `${DECOMPRESS[path.extname(file)] ?? "cat"} '${file}'`;

function dd(folder: string, { filename, dd_options = "" }: RawFile, device: string): void {
  run("sh", ["-c", `${catOf(filename)} | dd of='${device}' conv=notrunc status=none ${dd_options}`], { cwd: folder });
}

/**
 * Installs onto files: `devices` are the block devices by name, as long as they are to be. File systems are made and filled
 * in files of their own, ext4 by mounting, which takes root; a FAT, which not every kernel mounts, by mtools.
 */
export function install(
  folder: string,
  devices: Readonly<Record<string, string>>,
  temporary: string,
  product = "0014",
): void {
  const image = readImageJson(fs.readFileSync(path.join(folder, "image.json"), "utf8"));
  assert.ok(image.supported_product_ids.includes(product), `not for ${product}`);
  for (const device of image.blockdevs) {
    const file = devices[device.name]!;
    assert.ok(file !== undefined, `Block device '${device.name}' does not exist`);
    const { size } = fs.statSync(file);
    if (device.erase) {
      fs.truncateSync(file, 0);
      fs.truncateSync(file, size);
    }
    const places = placesOf(device, size / 512);
    if (places.length > 0) {
      const lines = places.map(({ start, size, partition }) => {
        const active = device.table_type === "gpt" ? ",attrs=LegacyBIOSBootable" : ",bootable";
        return `start=${start},size=${size},type=${typeOf(partition)}${partition.active ? active : ""}\n`;
      });
      const input = Buffer.from(lines.join(""));
      run("sfdisk", ["-q", "-uS", "--label", device.table_type ?? "dos", file], { input });
    }
    for (const { start, size, partition } of places) {
      const window = path.join(temporary, "partition");
      fs.writeFileSync(window, "");
      fs.truncateSync(window, size * 512);
      if (partition.content !== undefined) fill(folder, partition.content, window, temporary);
      run("dd", [`if=${window}`, `of=${file}`, "bs=1M", `seek=${start / 2048}`, "conv=notrunc,sparse", "status=none"]);
    }
    for (const raw of device.content?.rawfiles ?? []) {
      if (raw.product_ids?.includes(product) ?? true) dd(folder, raw, file);
    }
  }
}

function fill(folder: string, content: Content, window: string, temporary: string): void {
  const { filesystem_type = "raw", label = "", mkfs_options = "", filename } = content;
  const options = mkfs_options.split(" ").filter((option) => option !== "");
  if (filesystem_type === "raw") {
    for (const raw of content.rawfiles ?? []) dd(folder, raw, window);
    return;
  }
  const mount = path.join(temporary, "mount");
  fs.mkdirSync(mount, { recursive: true });
  if (filesystem_type === "FAT") {
    run("mkfs.fat", ["-F", "32", "-n", label, ...options, window]);
    if (filename === undefined) return;
    run("sh", ["-c", `${catOf(filename)} | tar -x --no-same-owner -C '${mount}'`], { cwd: folder });
    for (const name of fs.readdirSync(mount)) run("mcopy", ["-s", "-i", window, path.join(mount, name), "::"]);
    fs.rmSync(mount, { recursive: true });
    return;
  }
  run("mkfs.ext4", ["-q", "-L", label, "-O ^metadata_csum", "-T", "default", ...options, window]);
  if (filename === undefined) return;
  run("mount", ["-o", "loop,acl", window, mount]);
  try {
    const tar = `tar -x --xattrs --xattrs-include='*' --numeric-owner --acl -C '${mount}'`;
    run("sh", ["-c", `${catOf(filename)} | ${tar}`], { cwd: folder });
    // Another process's mount namespace may keep it mounted beyond umount: this way it is complete all the same.
    run("mount", ["-o", "remount,ro", mount]);
  } finally {
    run("umount", [mount]);
  }
}

/** The beginning of a PNG of that many pixels (ISO/IEC 15948, sections 5.2, 5.3 and 11.2.2): all that tells what it is. */
export function png(width: number, height: number): Uint8Array {
  const header = Buffer.alloc(33);
  header.write("\x89PNG\r\n\x1a\n", 0, "latin1");
  header.writeUInt32BE(13, 8);
  header.write("IHDR", 12, "latin1");
  header.writeUInt32BE(width, 16);
  header.writeUInt32BE(height, 20);
  header.set([8, 2, 0, 0, 0], 24);
  header.writeUInt32BE(crc32(header.subarray(12, 29)), 29);
  return header;
}
