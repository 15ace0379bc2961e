/** Ids that follow from a seed: the same input gives the same image. */
import { createHash } from "node:crypto";

/**
 * The name-based UUID (RFC 9562, version 8, SHA-256) of `parts`. Different parts give different UUIDs; the same ones, the
 * same UUID on every host.
 */
export function seededUuid(...parts: readonly string[]): string {
  const digest = createHash("sha256").update(JSON.stringify(parts)).digest().subarray(0, 16);
  digest[6] = (digest[6]! & 0x0f) | 0x80;
  digest[8] = (digest[8]! & 0x3f) | 0x80;
  const hex = digest.toString("hex");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

/** A seeded 32-bit number, never 0: an MBR disk signature, a FAT volume id. */
export function seededId(...parts: readonly string[]): number {
  const value = createHash("sha256").update(JSON.stringify(parts)).digest().readUInt32LE(0);
  return value === 0 ? 1 : value;
}
