/** The table "What each costs" of docs/outputs.md, from what the cases "adding NAME" recorded. */
interface Recorded {
  readonly cpu: number;
  readonly memory: number;
}

/** `document` with the numbers of `recorded` in the rows that it has cases of; `make docs` writes it. */
export function withCosts(document: string, recorded: Readonly<Record<string, Recorded>>): string {
  const [before, rest] = splitAt(document, /^\| output +\| CPU time/m);
  const [table, after] = splitAt(rest, /^(?!\|)/m);
  return `${before}${table.replace(/^\| (\S.*?) +\|([^|]*)\|([^|]*)\|/gm, (row, name, cpu, memory) => {
    const ratios = recorded[`adding ${name}`];
    if (ratios === undefined) return row;
    const cell = (ratio: number, old: string) => ` ${added(ratio)}`.padEnd(old.length);
    return `${row.slice(0, row.indexOf("|", 1))}|${cell(ratios.cpu, cpu)}|${cell(ratios.memory, memory)}|`;
  })}${after}`;
}

/** Before the first place that matches, and from there on. */
function splitAt(text: string, place: RegExp): [string, string] {
  const at = place.exec(text)?.index ?? text.length;
  return [text.slice(0, at), text.slice(at)];
}

/** "+ 5 %" for 1.05, "× 7.1" from 2 on. */
function added(ratio: number): string {
  if (ratio >= 2) return `× ${Number(ratio.toFixed(1))}`;
  const percent = Math.round((ratio - 1) * 100);
  return `${percent < 0 ? "-" : "+"} ${Math.abs(percent)} %`;
}
