/** The halves of a number, for structures that store it in two fields: the low one of 16 or 32 bits, and the rest. */

export const low16 = (value: number): number => value % 2 ** 16;
export const high16 = (value: number): number => Math.floor(value / 2 ** 16);
export const low32 = (value: number): number => value % 2 ** 32;
export const high32 = (value: number): number => Math.floor(value / 2 ** 32);
