/** For "did you mean": names that a misspelt one may stand for. */

/** Those of `known` that at most two edits make of `name`, the likeliest first. */
export function similarNames(name: string, known: Iterable<string>): string[] {
  return Array.from(known, (candidate) => ({ candidate, edits: distance(candidate, name) }))
    .filter(({ candidate, edits }) => edits <= 2 && edits < candidate.length)
    .sort((a, b) => a.edits - b.edits)
    .map(({ candidate }) => candidate);
}

/** Edit distance (Levenshtein, 1966). */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)));
    }
    row = next;
  }
  return row[b.length]!;
}
