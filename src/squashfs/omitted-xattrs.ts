/** Extended attributes that cannot be stored: found before anything is written, so that they can be refused. */
import { type ByteString, display } from "../bytes/bytestring.js";
import { ImgbuildError } from "../errors.js";
import { MAX_XATTR_LIST, MAX_XATTR_NAME, MAX_XATTR_VALUE } from "./layout.js";
import type { Settings } from "./options.js";
import type { Inode, Plan } from "./plan.js";
import { storableXattrs, type XattrObstacle } from "./xattrs.js";

/**
 * Counts the attributes that will be left out, and says so in one notice; throws a `not-representable` error for them where
 * the settings are strict. Returns how many they are.
 */
export function reportOmittedXattrs(plan: Plan, { strictXattrs, observer }: Settings): number {
  const counts = new Map<ByteString, number>();
  const obstacles = new Set<XattrObstacle>();
  let first: { readonly inode: Inode; readonly name: ByteString } | undefined;
  for (const inode of plan.all()) {
    const { xattrs } = plan.nodes[inode]!;
    if (xattrs.size === 0) continue;
    storableXattrs(xattrs, (name, obstacle) => {
      first ??= { inode, name };
      counts.set(name, (counts.get(name) ?? 0) + 1);
      obstacles.add(obstacle);
    });
  }
  if (first === undefined) return 0;
  const names = [...counts.keys()].sort();
  const total = [...counts.values()].reduce((sum, count) => sum + count, 0);
  const limit = limitsOf(obstacles);
  if (strictXattrs) {
    const path = plan.pathOf(first.inode) || "the root folder";
    const others = total === 1 ? "" : `, the first of ${total} attributes that cannot be stored`;
    throw new ImgbuildError("not-representable", `${path} has ${display(first.name)}${others}: ${limit}`, {
      hint: "Remove them from the source, or build without strict attributes to leave them out.",
    });
  }
  const list = names.map((name) => `${display(name)} ${counts.get(name)} times`).join(", ");
  observer.notice?.(`${limit}: ${total} left out (${list})`);
  return total;
}

/** What there is no place for, as messages say it. */
function limitsOf(obstacles: ReadonlySet<XattrObstacle>): string {
  const limits: string[] = [];
  if (obstacles.has("namespace")) {
    const acls = obstacles.has("acl") ? ", and no POSIX ACLs" : "";
    limits.push(`SquashFS has extended attributes of user, trusted and security only${acls}`);
  } else if (obstacles.has("acl")) limits.push("SquashFS has no POSIX ACLs");
  if (obstacles.has("size")) {
    limits.push(
      "Linux reads no extended attributes whose names are empty, have a NUL, more than " +
        `${MAX_XATTR_NAME} bytes or ${MAX_XATTR_LIST} together, or whose values have more than ${MAX_XATTR_VALUE}`,
    );
  }
  return limits.join("; ");
}
