// The table of cases as text.
import type { Judgement, Row, Totals } from './judge.js';

const MOST_REASONS = 6;

function rowLines({ name, family, verdict, reasons }: Row): readonly string[] {
  const shown = reasons.slice(0, MOST_REASONS).map((reason) => `          ${reason}`);
  if (reasons.length > MOST_REASONS) shown.push(`          ... ${reasons.length} in all`);
  return [`${verdict.padEnd(8)}  ${family.padEnd(4)}  ${name}`, ...shown];
}

function totalLine({ meter, attributed, withoutProcess, wrong, unknown }: Totals): string {
  const parts = [`${attributed} packets attributed`, `${withoutProcess} rightly without process`];
  parts.push(`${wrong} wrong`, `${unknown} unknown`);
  return `${meter.padEnd(6)}  ${parts.join(', ')}`;
}

export function tableLines({ rows, totals }: Judgement): readonly string[] {
  const counts = ['PASS', 'FAIL', 'SKIP'].map((verdict) => {
    const count = rows.filter((row) => row.verdict === verdict).length;
    return `${count} ${verdict}`;
  });
  return [...rows.flatMap(rowLines), '', ...totals.map(totalLine), counts.join(', ')];
}
