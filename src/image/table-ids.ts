/** The ids in the partition table, which follow from the image's identity: known before anything is written. */
import { seededId, seededUuid } from "../bytes/seeded-ids.js";
import type { PartitionPlan, Plan } from "./plan.js";

/** The 32 bits that tell an MBR's disk from others. */
export const diskSignature = (identity: string): number => seededId(identity, "disk signature");

/** A GPT's own GUID. */
export const diskGuid = (identity: string): string => seededUuid(identity, "disk");

/** A GPT partition's own GUID. */
export const partitionGuid = (identity: string, name: string): string => seededUuid(identity, name, "partition");

/** What the kernel finds the partition by, root=PARTUUID=: in an MBR, the disk's signature and the number, in hexadecimal. */
export function partuuid({ storage }: Plan, { name, number }: PartitionPlan, identity: string): string {
  if (storage.table === "gpt") return partitionGuid(identity, name);
  const hex = (value: number, digits: number) => value.toString(16).padStart(digits, "0");
  return `${hex(diskSignature(identity), 8)}-${hex(number, 2)}`;
}
