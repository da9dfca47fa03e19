// contrib/nfdump: nfcapd as its README starts it, and the output format of its configuration file.
import { join } from 'node:path';
import t from 'tap';
import { exportProgram } from '../support/exported-program.js';
import { startNfcapd } from '../support/nfcapd.js';
import { PROJECT_ROOT, missingRequirement } from '../support/requirements.js';

const skip = missingRequirement();
const CONFIGURATION = join(PROJECT_ROOT, 'contrib/nfdump/nfdump.conf');

t.test('nfdump -o process of contrib/nfdump shows the process name', { skip }, async (t) => {
  const nfcapd = await startNfcapd(t);
  const { name, port } = await exportProgram(t, { version: 9, port: nfcapd.port });
  await nfcapd.stop();
  const printed = nfcapd.nfdump(
    '-C',
    CONFIGURATION,
    '-o',
    'process',
    '-q',
    '-N',
    `dst port ${port}`,
  );
  const lines = printed.split('\n').filter((line) => line !== '');
  t.equal(lines.length, 1);
  // The process id comes with a name format that has it: nfdump reads no field for it.
  t.match(lines[0], new RegExp(`:${port} +5 +\\d+ +${name}$`));
});
