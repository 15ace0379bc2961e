/**
 * File capabilities: from their text form (cap_from_text(3)) to the attribute security.capability, whose value is struct
 * vfs_cap_data (linux/capability.h) in version 2: all little-endian.
 *
 *   0   u32  version 0x02000000, and in bit 0 whether the sets are effective from the start
 *   4   u32  permitted, capabilities 0 to 31
 *   8   u32  inheritable, capabilities 0 to 31
 *   12  u32  permitted, capabilities 32 to 63
 *   16  u32  inheritable, capabilities 32 to 63
 */
import { struct, u32 } from "../bytes/struct.js";

/** By number, from 0 on (linux/capability.h). */
const NAMES = [
  ..."chown dac_override dac_read_search fowner fsetid kill setgid setuid setpcap linux_immutable".split(" "),
  ..."net_bind_service net_broadcast net_admin net_raw ipc_lock ipc_owner sys_module sys_rawio".split(" "),
  ..."sys_chroot sys_ptrace sys_pacct sys_admin sys_boot sys_nice sys_resource sys_time".split(" "),
  ..."sys_tty_config mknod lease audit_write audit_control setfcap mac_override mac_admin".split(" "),
  ..."syslog wake_alarm block_suspend audit_read perfmon bpf checkpoint_restore".split(" "),
];

const ALL = (1n << BigInt(NAMES.length)) - 1n;

const vfsCapData = struct("vfs_cap_data", 20, {
  version: [0, u32],
  permittedLow: [4, u32],
  inheritableLow: [8, u32],
  permittedHigh: [12, u32],
  inheritableHigh: [16, u32],
});

const VERSION_2 = 0x0200_0000;
const EFFECTIVE = 1;

/**
 * The value of security.capability for `text`, such as "cap_net_raw,cap_net_admin+ep" or "all=ip"; several clauses stand
 * with blanks between them and apply in turn. Throws a RangeError that says what is wrong with it.
 */
export function encodeCapabilities(text: string): Uint8Array {
  const sets = { e: 0n, i: 0n, p: 0n };
  for (const clause of text.split(/\s+/).filter((part) => part !== "")) {
    const match = /^([a-z_0-9,]*)((?:[-+=][eip]*)+)$/i.exec(clause);
    if (!match) throw new RangeError(`"${clause}" is not a list of capabilities such as cap_net_raw+ep`);
    const mask = capabilityMask(match[1]!);
    for (const [, operator, flags] of match[2]!.matchAll(/([-+=])([eip]*)/gi)) {
      for (const flag of ["e", "i", "p"] as const) {
        const named = flags!.toLowerCase().includes(flag);
        if (operator === "=" || (operator === "-" && named)) sets[flag] &= ~mask;
        if (operator !== "-" && named) sets[flag] |= mask;
      }
    }
  }
  // A file has one effective bit for all of its capabilities.
  if (sets.e !== 0n && sets.e !== (sets.p | sets.i)) {
    throw new RangeError(`"${text}" makes some capabilities effective and others not, which a file cannot have`);
  }
  const low = (set: bigint) => Number(set & 0xffff_ffffn);
  return vfsCapData.encode({
    version: VERSION_2 | (sets.e === 0n ? 0 : EFFECTIVE),
    permittedLow: low(sets.p),
    inheritableLow: low(sets.i),
    permittedHigh: low(sets.p >> 32n),
    inheritableHigh: low(sets.i >> 32n),
  });
}

function capabilityMask(list: string): bigint {
  let mask = 0n;
  for (const name of list.toLowerCase().split(",")) {
    if (name === "" || name === "all") {
      mask |= ALL;
      continue;
    }
    const number = name.startsWith("cap_") ? NAMES.indexOf(name.slice(4)) : -1;
    if (number < 0) throw new RangeError(`"${name}" is not a capability`);
    mask |= 1n << BigInt(number);
  }
  return mask;
}
