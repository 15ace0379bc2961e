/** Which extended attributes are part of a root file system. */
import type { ByteString } from "../bytes/bytestring.js";

/**
 * Whether an attribute travels with its file: those of users, of the system's administrator, of security modules (file
 * capabilities and labels among them), and access control lists. All others of "system." and of file systems' own
 * namespaces ("btrfs.compression", "system.nfs4_acl") are views of something else that mean nothing in another file
 * system. Which of these a format can hold is its own matter.
 */
export function isPortableXattr(name: ByteString): boolean {
  return (
    /^(?:user|trusted|security)\../s.test(name) ||
    name === "system.posix_acl_access" ||
    name === "system.posix_acl_default"
  );
}
