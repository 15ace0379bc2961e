/** What is on UserData from the start: upper layers of overlays. */
import { display, fromText } from "../bytes/bytestring.js";
import { ImgbuildError } from "../errors.js";
import { factoryState, userdataFactory, userdataState, userdataUpper } from "../overlay/index.js";
import { contentOf, newDirectory, newFile } from "../tree/node.js";
import { follow } from "../tree/real-path.js";
import { addNode, lookup, splitPath, type Tree, walk } from "../tree/tree.js";
import type { Plan } from "./plan.js";
import type { BuildInputs } from "./prepare.js";

/**
 * UserData: the content for each overlaid path, moved to where the init script expects the upper layer. Its root hides the
 * folder's own, and so gets that one's owner and mode.
 */
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
    const { mode, uid, gid } = follow(root, path) ?? content;
    addNode(tree, userdataUpper(path), { ...content, mode, uid, gid }, closed);
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
