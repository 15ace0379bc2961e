/** Whether, and how, UserData can grow on the device. */
import type { Growth } from "../overlay/index.js";
import { slotEnvironment } from "./claims.js";
import { isLogical, MBR_PRIMARIES, type PartitionPlan, type Plan } from "./plan.js";

/**
 * Undefined where UserData is not to grow, or cannot: when another partition lies behind it, or its size stands in a hybrid
 * MBR too, which sfdisk leaves as it is.
 */
export function userdataGrowth(plan: Plan, userdata: PartitionPlan): Growth | undefined {
  const { overlay, partitions, storage } = plan;
  if (!overlay.grow || partitions.at(-1) !== userdata || userdata.hybrid !== undefined) return undefined;
  const extended = isLogical(storage, userdata) ? extendedNumber(partitions) : undefined;
  const environment = slotEnvironment(plan);
  const reserved = environment === undefined ? storage.reserved : [...storage.reserved, environment];
  return { extended, reserved: reserved.map(({ start }) => start) };
}

/** The entry of the MBR that writeMbr gives to the extended partition: the last that is free. */
function extendedNumber(partitions: readonly PartitionPlan[]): number | undefined {
  const taken = new Set(partitions.map(({ number }) => number));
  return Array.from({ length: MBR_PRIMARIES }, (_, i) => MBR_PRIMARIES - i).find((number) => !taken.has(number));
}
