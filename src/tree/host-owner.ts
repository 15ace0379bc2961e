/** Whether the owners that the host shows are those that were meant. */
import { isFakeroot } from "./fakeroot.js";

/**
 * Whether owners of a folder are worth keeping. Whoever is neither root nor under fakeroot or pseudo could not have made
 * files for other users: what is found is that user's own number, which means nothing on the device, and the nodes should
 * be root's instead. A tar carries owners of its own and is not asked about here.
 */
export function keepsOwners(uid = process.getuid?.(), environment: NodeJS.ProcessEnv = process.env): boolean {
  return uid === 0 || isFakeroot(environment);
}
