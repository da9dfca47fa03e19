// Reads the outcome of a test run out of tap's TAP 14 output.

export interface TestCount {
  /** Assertions; a file that crashes or runs out of time is a failed one. */
  readonly passed: number;
  readonly failed: number;
  /** "title: reason" of each test that was skipped. */
  readonly skipped: readonly string[];
  /** What failed, each with the beginning of its diagnostics. */
  readonly failures: readonly string[];
}

const SKIPPED = /^ *ok \d+(?: - (.*?))? # SKIP\b ?(.*)$/gm;
/** An assertion with its diagnostics; not a test that failed because one of its assertions did. */
const FAILED = /^( *)not ok \d+(?!.* # time=).*\n(?:\1 {2}---\n[^]*?\n\1 {2}\.\.\.$)?/gm;
const MOST_LINES = 40;

/** @throws Error when the closing comment with tap's own count is missing: the run was cut short */
export function countTests(tapOutput: string): TestCount {
  const total = /^# \{ total: \d+.*\}$/m.exec(tapOutput)?.[0];
  if (total === undefined) throw new Error('the TAP output has no total: was the run cut short?');
  const count = (name: string): number =>
    Number(new RegExp(`\\b${name}: (\\d+)`).exec(total)?.[1] ?? 0);
  const skipped = [...tapOutput.matchAll(SKIPPED)].map(([, title = '', reason = '']) =>
    [title, reason].filter((part) => part !== '').join(': '),
  );
  const failures = [...tapOutput.matchAll(FAILED)].map(([text]) =>
    text.split('\n').slice(0, MOST_LINES).join('\n'),
  );
  return { passed: count('pass'), failed: count('fail'), skipped, failures };
}
