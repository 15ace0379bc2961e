/** Extended attributes that the format has no place for: found before anything is written, so that they can be refused. */
import { type ByteString, display } from "../bytes/bytestring.js";
import { ImgbuildError } from "../errors.js";
import type { Settings } from "./options.js";
import { type Inode, inodesOf, type Plan, pathOf } from "./plan.js";
import { prefixOf } from "./xattrs.js";

const isAcl = (name: ByteString) => name.startsWith("system.posix_acl_");

/**
 * Counts the attributes that will be left out, and says so in one notice; throws a `not-representable` error for them where
 * the settings are strict. Returns how many they are.
 */
export function reportOmittedXattrs(plan: Plan, { strictXattrs, observer }: Settings): number {
  const counts = new Map<ByteString, number>();
  let first: { readonly inode: Inode; readonly name: ByteString } | undefined;
  for (const inode of inodesOf(plan)) {
    for (const name of inode.node.xattrs.keys()) {
      if (prefixOf(name) !== undefined) continue;
      first ??= { inode, name };
      counts.set(name, (counts.get(name) ?? 0) + 1);
    }
  }
  if (first === undefined) return 0;
  const names = [...counts.keys()].sort();
  const total = [...counts.values()].reduce((sum, count) => sum + count, 0);
  const acls = names.filter(isAcl).length;
  const limit =
    acls === names.length
      ? "SquashFS has no POSIX ACLs"
      : `SquashFS has extended attributes of user, trusted and security only${acls > 0 ? ", and no POSIX ACLs" : ""}`;
  if (strictXattrs) {
    const path = pathOf(first.inode) || "the root folder";
    const others = total === 1 ? "" : `, the first of ${total} attributes that cannot be stored`;
    throw new ImgbuildError("not-representable", `${path} has ${display(first.name)}${others}: ${limit}`, {
      hint: "Remove them from the source, or build without strict attributes to leave them out.",
    });
  }
  const list = names.map((name) => `${display(name)} ${counts.get(name)} times`).join(", ");
  observer.notice?.(`${limit}: ${total} left out (${list})`);
  return total;
}
