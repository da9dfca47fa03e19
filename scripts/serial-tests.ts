// Which tests run alone. Those of the kernel and end to end load programs into the one kernel and count
// what passes; but where programs only run frames that they are handed, nobody else sees anything of it.

const ALONE = ['attribution', 'end-to-end', 'kernel'] as const;

/** Of these, those that are attached nowhere and wait for no clock: two at a time are as good. */
const TEST_RUNS = [
  ...['capture-replay', 'contract', 'early-expiry', 'expiry', 'filter-expressions'],
  ...['filter-instructions', 'filter-programs', 'flow-sampling', 'parse-packets', 'sampling'],
  'track-levels',
].map((name) => `kernel/${name}`);
const CAPTURE_FILES = [
  ...['replay-export', 'replay-flows', 'replay-input', 'softflowd-captures', 'softflowd-choices'],
  ...['softflowd-command-lines', 'softflowd-differences'],
].map((name) => `end-to-end/${name}`);
const BESIDE_OTHERS = new Set(
  [...TEST_RUNS, ...CAPTURE_FILES].map((name) => `build/test/${name}.test.js`),
);

/** @param file "build/test/kernel/expiry.test.js" */
export function runsAlone(file: string): boolean {
  return (
    ALONE.some((folder) => file.startsWith(`build/test/${folder}/`)) && !BESIDE_OTHERS.has(file)
  );
}

/** Those that run two at a time first, which tap does only while none is among them that runs alone. */
export function inOrder(files: readonly string[]): readonly string[] {
  const alone = files.filter(runsAlone);
  return [...files.filter((file) => !runsAlone(file)), ...alone];
}
