/** The branch converters of liblzma, known by name to those who only offer or check them, without loading liblzma. */

/** Filter ids (The .xz File Format, section 5.3.2). arm64 and riscv are unknown to kernels before 6.10. */
export const BCJ_IDS = { x86: 4, powerpc: 5, ia64: 6, arm: 7, armthumb: 8, sparc: 9 } as const;

/** Converts branches of programs for this processor from relative to absolute addresses, which repeat more often. */
export type BcjFilter = keyof typeof BCJ_IDS;
export const BCJ_FILTERS = Object.keys(BCJ_IDS) as readonly BcjFilter[];
