/**
 * Which characters are one but for their case, as Windows has it: a table from before most of today's letters, of pairs within
 * 16 bits, unlike Unicode's own mapping today (no "ss" for a sharp s, no S for a long one, no I for a dotless one). It is the
 * "Recommended Up-case Table" of Microsoft's exFAT specification (7.2.5.1), which Linux has in fs/exfat/nls.c; that of FAT is
 * nowhere written down. It must not depend on which Unicode the host knows.
 */

/** "first-last>target" for neighbours with targets side by side, "first~last>target" for every second of them. Hexadecimal. */
const ROWS = `
  0061-007A>0041 00E0-00F6>00C0 00F8-00FE>00D8 00FF>0178 0101~012F>0100 0133~0137>0132 013A~0148>0139 014B~0177>014A
  017A~017E>0179 0180>0243 0183~0185>0182 0188>0187 018C>018B 0192>0191 0195>01F6 0199>0198 019A>023D 019E>0220
  01A1~01A5>01A0 01A8>01A7 01AD>01AC 01B0>01AF 01B4~01B6>01B3 01B9>01B8 01BD>01BC 01BF>01F7 01C6>01C4 01C9>01C7
  01CC>01CA 01CE~01DC>01CD 01DD>018E 01DF~01EF>01DE 01F3>01F1 01F5>01F4 01F9~021F>01F8 0223~0233>0222 023A>2C65
  023C>023B 023E>2C66 0242>0241 0247~024F>0246 0253>0181 0254>0186 0256-0257>0189 0259>018F 025B>0190 0260>0193
  0263>0194 0268>0197 0269>0196 026B>2C62 026F>019C 0272>019D 0275>019F 027D>2C64 0280>01A6 0283>01A9 0288>01AE
  0289>0244 028A-028B>01B1 028C>0245 0292>01B7 037B-037D>03FD 03AC>0386 03AD-03AF>0388 03B1-03C1>0391 03C2>03A3
  03C3-03CB>03A3 03CC>038C 03CD-03CE>038E 03D9~03EF>03D8 03F2>03F9 03F8>03F7 03FB>03FA 0430-044F>0410 0450-045F>0400
  0461~0481>0460 048B~04BF>048A 04C2~04CE>04C1 04CF>04C0 04D1~0513>04D0 0561-0586>0531 1D7D>2C63 1E01~1E95>1E00
  1EA1~1EF9>1EA0 1F00-1F07>1F08 1F10-1F15>1F18 1F20-1F27>1F28 1F30-1F37>1F38 1F40-1F45>1F48 1F51~1F57>1F59
  1F60-1F67>1F68 1F70-1F71>1FBA 1F72-1F75>1FC8 1F76-1F77>1FDA 1F78-1F79>1FF8 1F7A-1F7B>1FEA 1F7C-1F7D>1FFA
  1F80-1F87>1F88 1F90-1F97>1F98 1FA0-1FA7>1FA8 1FB0-1FB1>1FB8 1FB3>1FBC 1FCC>1FC3 1FD0-1FD1>1FD8 1FE0-1FE1>1FE8
  1FE5>1FEC 1FFC>1FF3 214E>2132 2170-217F>2160 2184>2183 24D0-24E9>24B6 2C30-2C5E>2C00 2C61>2C60 2C68~2C6C>2C67
  2C76>2C75 2C81~2CE3>2C80 2D00-2D25>10A0 FF41-FF5A>FF21
`;

let table: Uint16Array | undefined;

function readRows(): Uint16Array {
  const upper = Uint16Array.from({ length: 0x10000 }, (_, unit) => unit);
  for (const [, first, separator, last = first, target] of ROWS.matchAll(/(\w+)(?:([-~])(\w+))?>(\w+)/g)) {
    const [from, to] = [Number.parseInt(first!, 16), Number.parseInt(last!, 16)];
    const delta = Number.parseInt(target!, 16) - from;
    for (let unit = from; unit <= to; unit += separator === "~" ? 2 : 1) upper[unit] = unit + delta;
  }
  return upper;
}

/** The capital of a UTF-16 unit, or itself. */
export function upperCase(unit: number): number {
  table ??= readRows();
  return table[unit]!;
}
