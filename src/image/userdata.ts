/** What is on UserData from the start: upper layers of overlays. */
import { display, fromText } from "../bytes/bytestring.js";
import { ImgbuildError } from "../errors.js";
import { factoryState, userdataFactory, userdataState, userdataUpper } from "../overlay/index.js";
import { contentOf, type Directory, type Node, newDirectory, newFile } from "../tree/node.js";
import { follow } from "../tree/real-path.js";
import { addNode, lookup, splitPath, type Tree, walk } from "../tree/tree.js";
import type { Plan } from "./plan.js";
import type { BuildInputs } from "./prepare.js";

/** What the user wants on UserData, by the paths that it has on the device. */
export interface UserdataSource extends Tree {
  /** Whether the source says who owns a folder of it, and its mode: an archive that lists it does. */
  isDescribed(folder: Directory): boolean;
}

/** UserData: the content for each overlaid path, moved to where the init script expects the upper layer. */
export function userdataTree(plan: Plan, { root, userdata, time }: BuildInputs): Tree {
  const metadata = { mtime: { seconds: time, nanoseconds: 0 } };
  const tree: Tree = { root: newDirectory(metadata) };
  if (userdata === undefined) return tree;
  // As on the device: the layers are beside the folders that may guard what is in them.
  const closed = { ...metadata, mode: 0o700 };
  let used = 0;
  for (const path of plan.overlay.paths.map(fromText)) {
    const content = lookup(userdata, path);
    if (content === undefined) continue;
    if (content.type !== "directory") {
      throw new ImgbuildError(
        "source-invalid",
        `--userdata has ${display(path)} as a ${content.type}, not as a folder`,
        {
          hint: "It becomes the upper layer of an overlay, which is a folder.",
        },
      );
    }
    takeAfter(content, follow(root, path), userdata);
    addNode(tree, userdataUpper(path), content, closed);
    addNode(tree, userdataState(path), newFile(contentOf(Buffer.from(factoryState())), metadata));
    addNode(tree, userdataFactory(path), newFile(contentOf(Buffer.alloc(0)), metadata));
    used++;
  }
  if (used === 0) {
    throw new ImgbuildError("source-invalid", "--userdata holds nothing for any overlay", {
      hint: `It is laid out as on the device: put files into ${plan.overlay.paths.map((path) => path.slice(1)).join(" or ")}.`,
    });
  }
  checkCovered(plan, userdata);
  return tree;
}

/**
 * On the device a folder of the upper layer hides that of the root, but for its entries: without a word from the source, it has
 * the same owner, mode and attributes, so that whoever may write into the folder still may.
 */
function takeAfter(content: Directory, root: Node | undefined, source: UserdataSource): void {
  const pending: [upper: Directory, lower: Node | undefined][] = [[content, root]];
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    const [upper, lower] = next;
    if (lower?.type !== "directory") continue;
    if (!source.isDescribed(upper)) {
      const { mode, uid, gid, xattrs } = lower;
      Object.assign(upper, { mode, uid, gid, xattrs: new Map([...upper.xattrs, ...xattrs]) });
    }
    for (const [name, node] of upper.entries) {
      if (node.type === "directory") pending.push([node, lower.entries.get(name)]);
    }
  }
}

/** Refuses content that no overlay takes: it would be missing on the device. */
function checkCovered(plan: Plan, userdata: Tree): void {
  const overlays = plan.overlay.paths.map((path) => splitPath(fromText(path)).join("/"));
  const outside = [...walk(userdata)]
    .filter(({ node }) => node.type !== "directory")
    .filter(({ path }) => !overlays.some((overlay) => overlay === "" || path.startsWith(`${overlay}/`)))
    .map(({ path }) => display(path));
  if (outside.length === 0) return;
  const more = outside.length > 5 ? ` and ${outside.length - 5} more` : "";
  throw new ImgbuildError(
    "source-invalid",
    `--userdata has what no overlay takes: ${outside.slice(0, 5).join(", ")}${more}`,
    {
      hint: `Overlays are ${plan.overlay.paths.join(", ")}. Add a path with --set overlay.paths, or take the files out.`,
      data: { outside },
    },
  );
}
