// contrib/nfdump: nfcapd as its README starts it, and the output formats of its configuration file.
import { join } from 'node:path';
import t from 'tap';
import { exportProgram } from '../support/exported-program.js';
import { startNfcapd } from '../support/nfcapd.js';
import { PROJECT_ROOT, missingRequirement } from '../support/requirements.js';

const skip = missingRequirement();
const CONFIGURATION = join(PROJECT_ROOT, 'contrib/nfdump/nfdump.conf');
const NAME_FORMAT = ['--name-format', '{comm}/{pid}'];

for (const { version, options, output } of [
  { version: 9, options: [], output: 'process' },
  { version: 10, options: ['--nfdump-appname'], output: 'application' },
] as const) {
  const title = `version ${version}: nfdump -o ${output} of contrib/nfdump shows process name and id`;
  t.test(title, { skip }, async (t) => {
    const nfcapd = await startNfcapd(t);
    const { name, pid, port, interfaceName } = await exportProgram(t, {
      version,
      port: nfcapd.port,
      options: [...NAME_FORMAT, ...options],
    });
    await nfcapd.stop();
    const ofFlow = ['-q', '-N', `dst port ${port}`];
    const lines = (format: string, ...configuration: string[]): string[] => {
      const printed = nfcapd.nfdump(...configuration, '-o', format, ...ofFlow);
      return printed.split('\n').filter((line) => line !== '');
    };
    const contributed = lines(output, '-C', CONFIGURATION);
    t.equal(contributed.length, 1);
    t.match(contributed[0], new RegExp(`:${port} +5 +\\d+ +${name}/${pid} *$`));
    const field = version === 9 ? '%uname' : '%nbnam';
    t.same(
      lines(`fmt:;${field};%onam;`).map((line) => line.replaceAll(' ', '')),
      [`;${name}/${pid};${interfaceName};`],
    );
    t.same(nfcapd.complaints(), []);
    t.match(nfcapd.totals(), { badPackets: 0, sequenceErrors: 0 });
  });
}
