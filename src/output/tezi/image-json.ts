/**
 * image.json, what the Toradex Easy Installer knows of an image (its "Configuration Files" pages; toradex/qt-tezi: tezi.schema,
 * dto/*.cpp, multiimagewritethread.cpp). Sizes are in MiB where the name says nothing else.
 */

export interface TeziImage {
  /** What the installer has to understand: config-format.ts. */
  readonly config_format: number;
  readonly autoinstall: boolean;
  readonly name: string;
  readonly description: string;
  readonly version?: string | undefined;
  readonly release_date?: string | undefined;
  readonly u_boot_env?: string | undefined;
  readonly prepare_script?: string | undefined;
  readonly wrapup_script?: string | undefined;
  readonly error_script?: string | undefined;
  readonly icon?: string | undefined;
  readonly marketing?: string | undefined;
  readonly license?: string | undefined;
  readonly license_title?: string | undefined;
  readonly releasenotes?: string | undefined;
  readonly supported_product_ids: readonly string[];
  /** Shown in the list; the installer itself counts it only where the device is called emmc. */
  readonly nominal_size: number;
  readonly blockdevs: readonly TeziBlockDevice[];
}

export interface TeziBlockDevice {
  /** In /dev. */
  readonly name: string;
  /** Discards everything first; the module's configuration block is put back. */
  readonly erase?: boolean;
  readonly table_type?: "dos" | "gpt";
  readonly partitions?: readonly TeziPartition[];
  /** Written to the device itself, after the partitions. */
  readonly content?: TeziContent | undefined;
}

export interface TeziPartition {
  readonly partition_size_nominal: number;
  /** Takes what the others leave. */
  readonly want_maximised: boolean;
  /** Sectors of 512 bytes. Without it: behind the partition before, in whole 4 MiB. */
  readonly offset_in_sectors?: number | undefined;
  readonly requires_partition_number?: number | undefined;
  readonly active?: true | undefined;
  /** Two hexadecimal digits, or a GUID. The default for a raw one is 00, which U-Boot takes for no partition. */
  readonly partition_type: string;
  readonly content?: TeziContent | undefined;
}

export interface TeziContent {
  /** A SquashFS is raw: the installer knows only what it can make itself. */
  readonly filesystem_type: "FAT" | "ext4" | "raw";
  readonly label?: string | undefined;
  /** Separated by single blanks. */
  readonly mkfs_options?: string | undefined;
  /** A tar that is unpacked into the new file system. */
  readonly filename?: string | undefined;
  readonly rawfiles?: readonly TeziRawFile[] | undefined;
  /** For the progress bar. */
  readonly uncompressed_size?: number | undefined;
}

export interface TeziRawFile {
  readonly filename: string;
  /** For dd, whose blocks have 512 bytes unless they say otherwise. */
  readonly dd_options?: string | undefined;
  /** For the progress bar. */
  readonly size: number;
  /** The modules that it is for; without them, all. */
  readonly product_ids?: readonly string[] | undefined;
}
