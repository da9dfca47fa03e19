import t from 'tap';
import { countTests } from '../../scripts/tap-count.js';

t.test('takes the numbers of assertions from the closing comment', async (t) => {
  const output = ['TAP version 14', 'ok 1 - a', '# { total: 7, pass: 4, fail: 2, skip: 1 }', ''];
  t.match(countTests(output.join('\n')), { passed: 4, failed: 2 });
});

t.test('an absent kind counts as none', async (t) => {
  t.match(countTests('# { total: 3, pass: 3 }\n'), { passed: 3, failed: 0 });
});

t.test('names what was skipped, with the reason, at any depth', async (t) => {
  const output = [
    'ok 1 - plain # time=3ms',
    '    ok 2 - attaches with TCX # SKIP no TCX before Linux 6.6',
    'ok 3 - no reason # SKIP',
    '# { total: 3, pass: 1, skip: 2 }',
  ];
  t.same(countTests(output.join('\n')).skipped, [
    'attaches with TCX: no TCX before Linux 6.6',
    'no reason',
  ]);
});

t.test('a run without a total is an error, not a success', async (t) => {
  t.throws(() => countTests('ok 1 - a\n'), /cut short/);
});

t.test('shows what failed with its diagnostics, and not the tests around it', async (t) => {
  const output = [
    '    not ok 2 - octets',
    '      ---',
    '      diff: 1',
    '      ...',
    '    1..2',
    'not ok 1 - counts # time=3ms',
    '# { total: 2, pass: 1, fail: 1 }',
  ];
  t.same(countTests(output.join('\n')).failures, [
    '    not ok 2 - octets\n      ---\n      diff: 1\n      ...',
  ]);
});
