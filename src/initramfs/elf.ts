/** As much of ELF as it takes to read a kernel module's own description and to see whether a program is static. */
import type { StructValues } from "../bytes/struct.js";
import { type Content, type ContentReader, contentOf } from "../tree/node.js";
import {
  elf32Dynamic,
  elf32Header,
  elf32ProgramHeader,
  elf32SectionHeader,
  elf64Dynamic,
  elf64Header,
  elf64ProgramHeader,
  elf64SectionHeader,
  elfIdent,
} from "./layout.js";

/** What kind of processor a file is for: ELF class (1: 32 bits, 2: 64 bits) and e_machine. */
export interface ElfTarget {
  readonly bits: 32 | 64;
  /** 40: ARM, 183: AArch64, 62: x86-64, 3: 386, 243: RISC-V. */
  readonly machine: number;
}

/** A little-endian ELF file, open for reading. */
export interface ElfFile extends ElfTarget {
  /** Whether it wants a dynamic linker (has a PT_INTERP program header). */
  readonly dynamic: boolean;
  /** The bytes of the section of that name, or undefined. */
  section(name: string): Promise<Uint8Array | undefined>;
  /** What the dynamic linker is told; undefined for a static program. */
  linking(): Promise<DynamicLinking | undefined>;
}

export interface DynamicLinking {
  /** The dynamic linker; libraries name none. */
  readonly interpreter: string | undefined;
  /** Names of libraries. */
  readonly needed: readonly string[];
}

const CLASSES = [
  undefined,
  { bits: 32, header: elf32Header, program: elf32ProgramHeader, section: elf32SectionHeader, dynamic: elf32Dynamic },
  { bits: 64, header: elf64Header, program: elf64ProgramHeader, section: elf64SectionHeader, dynamic: elf64Dynamic },
] as const;
const LITTLE_ENDIAN = 1;
const PT_INTERP = 3;
/** System V ABI, chapter 5, "Dynamic Section". */
const DT_NEEDED = 1;

const latin1 = new TextDecoder("latin1");

const MACHINES: Readonly<Record<number, string>> = { 3: "x86", 40: "ARM", 62: "x86-64", 183: "AArch64", 243: "RISC-V" };

/** "ARM (32 bits)", for messages. */
export function targetName({ bits, machine }: ElfTarget): string {
  return `${MACHINES[machine] ?? `machine ${machine}`} (${bits} bits)`;
}

/**
 * Calls `use` with the ELF file that `content` is, or with undefined when it is no little-endian ELF file or is damaged.
 * Only headers and the sections asked for are read.
 */
export async function withElf<T>(content: Content, use: (elf: ElfFile | undefined) => T | Promise<T>): Promise<T> {
  const reader = await content.open();
  try {
    return await use(await undamaged(openElf(reader, content.size)));
  } finally {
    await reader.close();
  }
}

/** `withElf` for bytes in memory. */
export function withElfBytes<T>(bytes: Uint8Array, use: (elf: ElfFile | undefined) => T | Promise<T>): Promise<T> {
  return withElf(contentOf(bytes), use);
}

/** A field that cannot be a position (2^53 or more) means that the file is damaged; there is nothing to be found in it then. */
async function undamaged<T>(found: Promise<T>): Promise<T | undefined> {
  try {
    return await found;
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

async function openElf(reader: ContentReader, size: number): Promise<ElfFile | undefined> {
  const read = async (at: number, length: number): Promise<Uint8Array | undefined> => {
    if (at + length > size) return undefined;
    const bytes = new Uint8Array(length);
    await reader.read(at, bytes);
    return bytes;
  };
  const identBytes = await read(0, elfIdent.size);
  if (!identBytes) return undefined;
  const ident = elfIdent.read(identBytes);
  const layout = CLASSES[ident.class];
  if (latin1.decode(ident.magic) !== "\x7fELF" || ident.data !== LITTLE_ENDIAN || !layout) return undefined;
  const headerBytes = await read(0, layout.header.size);
  if (!headerBytes) return undefined;
  const header: StructValues<typeof elf32Header> = layout.header.read(headerBytes);

  const programs = await read(header.programHeaders, header.programHeaderCount * layout.program.size);
  if (!programs) return undefined;
  let dynamic = false;
  for (let i = 0; i < header.programHeaderCount; i++) {
    if (layout.program.read(programs, i * layout.program.size).type === PT_INTERP) dynamic = true;
  }

  return {
    bits: layout.bits,
    machine: header.machine,
    dynamic,
    section: (name) => undamaged(section(name)),
    linking: () => undamaged(linking()),
  };

  async function linking(): Promise<DynamicLinking | undefined> {
    const [entries, strings, interpreter] = [
      await section(".dynamic"),
      await section(".dynstr"),
      await section(".interp"),
    ];
    if (entries === undefined || strings === undefined) return undefined;
    const text = (bytes: Uint8Array, at: number) => latin1.decode(bytes.subarray(at, bytes.indexOf(0, at)));
    const { dynamic } = layout!;
    const needed: string[] = [];
    for (let at = 0; at + dynamic.size <= entries.length; at += dynamic.size) {
      const { tag, value }: StructValues<typeof elf32Dynamic> = dynamic.read(entries, at);
      if (tag === DT_NEEDED) needed.push(text(strings, value));
    }
    return { interpreter: interpreter && text(interpreter, 0), needed };
  }

  async function section(name: string): Promise<Uint8Array | undefined> {
    const table = await read(header.sectionHeaders, header.sectionHeaderCount * layout!.section.size);
    if (!table || header.sectionNames >= header.sectionHeaderCount) return undefined;
    const nth = (i: number) => layout!.section.read(table, i * layout!.section.size);
    const names = await read(nth(header.sectionNames).offset, nth(header.sectionNames).size);
    if (!names) return undefined;
    for (let i = 0; i < header.sectionHeaderCount; i++) {
      const section = nth(i);
      const end = names.indexOf(0, section.name);
      if (end >= 0 && latin1.decode(names.subarray(section.name, end)) === name) {
        return read(section.offset, section.size);
      }
    }
    return undefined;
  }
}
