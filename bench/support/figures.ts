// Figures and how they are printed: medians with their spread, tables that are Markdown and can be
// read on a terminal as they are.

export interface Figures {
  /** Tables, and what they say. */
  readonly text: string;
  /** What must be true of them is. */
  readonly isGood: boolean;
}

/** Of at least one value; of an even number of them the upper one in the middle. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted[Math.floor(sorted.length / 2)];
  if (middle === undefined) throw new Error('no values to take a median of');
  return middle;
}

/** "12.3 (11.0 to 14.2)": the median, the smallest and the largest. */
export function medianAndSpread(values: readonly number[], digits: number): string {
  const [least, most] = [Math.min(...values), Math.max(...values)];
  return `${median(values).toFixed(digits)} (${least.toFixed(digits)} to ${most.toFixed(digits)})`;
}

/** 99.96 % is not 100 %: rounds towards zero unless all of it is there. */
export function percentage(part: number, whole: number): string {
  if (whole === 0) return '-';
  if (part === whole) return '100 %';
  const rounded = part > whole ? Math.ceil((1e4 * part) / whole) : Math.floor((1e4 * part) / whole);
  return `${(rounded / 100).toFixed(2)} %`;
}

/** The first column is text, the others are numbers and stand on the right. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((name, i) =>
    Math.max(name.length, ...rows.map((row) => row[i]?.length ?? 0)),
  );
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, i) => pad(cell, widths[i] ?? 0, i > 0)).join(' | ')} |`;
  const rule = widths.map((width, i) =>
    i > 0 ? `${'-'.repeat(width + 1)}:` : '-'.repeat(width + 2),
  );
  return [line(head), `|${rule.join('|')}|`, ...rows.map(line)].join('\n');
}

function pad(text: string, width: number, isRight: boolean): string {
  return isRight ? text.padStart(width) : text.padEnd(width);
}
