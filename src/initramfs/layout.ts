/** Structures of the files that an initramfs is made of and from. */
import { bytes, size64, struct, u8, u16, u32 } from "../bytes/struct.js";

/** The first 16 bytes of every ELF file. System V ABI, chapter 4, "ELF Identification". */
export const elfIdent = struct("e_ident", 16, {
  magic: [0, bytes(4)],
  class: [4, u8],
  data: [5, u8],
});

/** ELF header of a 32-bit file. System V ABI, chapter 4, "ELF Header". */
export const elf32Header = struct("Elf32_Ehdr", 52, {
  type: [16, u16],
  machine: [18, u16],
  programHeaders: [28, u32],
  sectionHeaders: [32, u32],
  programHeaderCount: [44, u16],
  sectionHeaderCount: [48, u16],
  sectionNames: [50, u16],
});

/** ELF header of a 64-bit file. */
export const elf64Header = struct("Elf64_Ehdr", 64, {
  type: [16, u16],
  machine: [18, u16],
  programHeaders: [32, size64],
  sectionHeaders: [40, size64],
  programHeaderCount: [56, u16],
  sectionHeaderCount: [60, u16],
  sectionNames: [62, u16],
});

/** A program header; only its type matters here. System V ABI, chapter 5, "Program Header". */
export const elf32ProgramHeader = struct("Elf32_Phdr", 32, { type: [0, u32] });
export const elf64ProgramHeader = struct("Elf64_Phdr", 56, { type: [0, u32] });

/** A section header. System V ABI, chapter 4, "Sections". */
export const elf32SectionHeader = struct("Elf32_Shdr", 40, { name: [0, u32], offset: [16, u32], size: [20, u32] });
export const elf64SectionHeader = struct("Elf64_Shdr", 64, {
  name: [0, u32],
  offset: [24, size64],
  size: [32, size64],
});

/** An entry of the dynamic section, its upper half of no use here: tags that are looked for are small. Chapter 5, "Dynamic Section". */
export const elf32Dynamic = struct("Elf32_Dyn", 8, { tag: [0, u32], value: [4, u32] });
export const elf64Dynamic = struct("Elf64_Dyn", 16, { tag: [0, u32], value: [8, u32] });
