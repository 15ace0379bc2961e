/** UUIDs as text and as bytes. */

/** Whether `text` is a UUID as it is printed (RFC 9562, section 4), in capitals or not. */
export function isUuid(text: string): boolean {
  return /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text);
}

/** The 16 bytes of a UUID in the order in which it is printed (RFC 9562, section 4). GPT stores GUIDs in another one. */
export function uuidBytes(uuid: string): Uint8Array {
  if (!isUuid(uuid)) throw new RangeError(`"${uuid}" is not a UUID`);
  return Uint8Array.from(uuid.replaceAll("-", "").match(/../g)!, (pair) => Number.parseInt(pair, 16));
}

export function formatUuid(bytes: Uint8Array): string {
  const hex = Array.from(bytes.subarray(0, 16), (byte) => byte.toString(16).padStart(2, "0")).join("");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}
