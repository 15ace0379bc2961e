/** The layers over the root that come from elsewhere, with the partitions that the profile names resolved. */
import { fromText } from "../bytes/bytestring.js";
import { ImgbuildError } from "../errors.js";
import { type BaseLayer, parseLayerSource } from "../overlay/index.js";
import type { Plan } from "./plan.js";

/** In the order of the profile. Throws `profile-invalid` for a source that is none, or a partition that holds no layer. */
export function baseLayers({ overlay, partitions }: Plan): BaseLayer[] {
  const numberOf = (name: string): number => {
    const partition = partitions.find((candidate) => candidate.name === name);
    if (partition?.role === "data" && ["squashfs", "ext4"].includes(partition.filesystem)) return partition.number;
    const usable = partitions.filter(
      ({ role, filesystem }) => role === "data" && ["squashfs", "ext4"].includes(filesystem),
    );
    throw new ImgbuildError(
      "profile-invalid",
      partition === undefined
        ? `overlay.layers: there is no partition ${name}`
        : `overlay.layers: partition ${name} cannot be a layer: it is ${partition.role}, ${partition.filesystem}`,
      {
        hint: `A layer is a partition of your own with squashfs or ext4: ${usable.map((one) => one.name).join(", ") || "there is none"}.`,
      },
    );
  };
  return overlay.layers.map(({ path, from }) => ({ path: fromText(path), from: parseLayerSource(from, numberOf) }));
}
