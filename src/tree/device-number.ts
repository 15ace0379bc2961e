/** Device numbers as Linux has them: 12 bits of major and 20 of minor number. */

export const MAX_MAJOR = 0xfff;
export const MAX_MINOR = 0xf_ffff;

/** Whether Linux can have a device of these numbers. */
export function isDeviceNumber(major: number, minor: number): boolean {
  const within = (value: number, most: number) => Number.isInteger(value) && value >= 0 && value <= most;
  return within(major, MAX_MAJOR) && within(minor, MAX_MINOR);
}

/**
 * Both numbers in 32 bits, as file systems store them: the lower eight bits of the minor number, the major number, the rest
 * of the minor number (new_encode_dev in include/linux/kdev_t.h). They have to be in range.
 */
export function encodeDeviceNumber({ major, minor }: { readonly major: number; readonly minor: number }): number {
  return ((minor & 0xff) | (major << 8) | ((minor & ~0xff) << 12)) >>> 0;
}

/** The numbers that `encodeDeviceNumber` made 32 bits of (new_decode_dev in include/linux/kdev_t.h). */
export function decodeDeviceNumber(device: number): { major: number; minor: number } {
  return { major: (device >>> 8) & 0xfff, minor: (device & 0xff) | ((device >>> 12) & 0xfff00) };
}
