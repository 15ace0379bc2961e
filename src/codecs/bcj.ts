/** The branch converters of liblzma, known by name to those who only offer or check them, without loading liblzma. */

/**
 * Filter ids (The .xz File Format, section 5.3.2) that are written: those of the SquashFS options but ia64 (6), which Linux no
 * longer decodes. SquashFS has no number for those of arm64 and riscv.
 */
export const BCJ_IDS = { x86: 4, powerpc: 5, arm: 7, armthumb: 8, sparc: 9 } as const;

/** Converts branches of programs for this processor from relative to absolute addresses, which repeat more often. */
export type BcjFilter = keyof typeof BCJ_IDS;
export const BCJ_FILTERS = Object.keys(BCJ_IDS) as readonly BcjFilter[];
