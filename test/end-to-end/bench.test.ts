// The benchmark itself, so that it can be run when it is wanted: its short part on traffic, in which
// every sum must be exact. What it says of speed is of no interest here.
import t from 'tap';
import { join } from 'node:path';
import { startProgram } from '../support/program.js';
import { missingRequirement, PROJECT_ROOT } from '../support/requirements.js';

const skip = missingRequirement('trafgen', 'softflowd', 'pmacctd');
const MAIN = join(PROJECT_ROOT, 'build/bench/main.js');

t.test(
  'the benchmark compares the exporters on traffic, and its sums are exact',
  { skip },
  async (t) => {
    const program = startProgram(t, process.execPath, [MAIN, '--short', 'traffic']);
    const { code } = await program.ended;
    const text = program.out.join('\n');
    t.equal(code, 0, program.err.join('\n'));
    t.match(text, /^\| 256 flows, procflow .*\| +100 % \| +100 % \| +100 % \|$/m);
    for (const name of ['nothing', 'softflowd', 'pmacctd']) {
      t.match(text, new RegExp(`^\\| 256 flows, ${name} `, 'm'));
    }
    t.match(text, /^\* met: one flow: no packet lost or counted twice: 0 packets, 0 octets/m);
    t.match(text, /; every sum exact$/m);
  },
);

t.test('a part that the benchmark does not have is named', async (t) => {
  const program = startProgram(t, process.execPath, [MAIN, 'trafic']);
  const { code } = await program.ended;
  t.equal(code, 1);
  t.match(program.err.join('\n'), /no part trafic; there are .*traffic/);
});
