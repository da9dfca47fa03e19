// Parent and command line of real processes, on the way to a collector and to a terminal.
import { readFileSync } from 'node:fs';
import t from 'tap';
import { startExportCapture } from '../support/export-capture.js';
import { runGenerator } from '../support/generators.js';
import { createNamespace } from '../support/network-namespace.js';
import { startNfcapd } from '../support/nfcapd.js';
import { startExport, startProcflow } from '../support/procflow.js';
import { missingRequirement } from '../support/requirements.js';
import { createCgroup } from '../support/test-cgroup.js';

const skip = missingRequirement();
/** To a port without a socket: a flow with a process at its source only. */
const TO = ['--to', '127.0.0.1', '--port', 9, '--size', 100] as const;
/** Behind the path, which is another one each time. */
const COMMAND_LINE = '/asker --to 127.0.0.1 --port 9 --size 100';

for (const version of [9, 10] as const) {
  t.test(`version ${version} exports parent and command line`, { skip }, async (t) => {
    const namespace = createNamespace(t);
    const cgroup = createCgroup(t);
    const collector = await startNfcapd(t);
    const capture = await startExportCapture(t, collector.port);
    const exporter = await startExport(t, {
      ...{ namespace, interfaces: ['lo'], version, cgroup, port: collector.port },
      options: ['--profile', 'full', '--kernel-name', 'nobody'],
    });
    await runGenerator(t, { namespace, cgroup }, ['udp-client', 'asker'], ...TO);
    await exporter.stop();
    await capture.stop();
    const nfdump = await collector.stop();

    const [asked] = capture.flows().filter(({ protocol }) => protocol === 17);
    t.equal(asked?.sourceProcess.name, 'asker');
    t.equal(asked?.destinationProcess.name, 'nobody', 'no socket there');
    const parents = capture.values('cflow.pie.ntop.src_father_proc_pid').map(Number);
    t.ok(
      parents.some((pid) => pid > 0),
      `parents ${parents.join()}`,
    );
    const sent = readFileSync(capture.path, 'latin1');
    t.ok(sent.includes(COMMAND_LINE), 'tshark has no name for the command line');
    t.equal(capture.malformed(), 0);
    t.equal(nfdump.filter(({ protocol }) => protocol === 17).length, 1);
  });
}

t.test('live --wide shows the command line below the flow', { skip }, async (t) => {
  const namespace = createNamespace(t);
  const cgroup = createCgroup(t);
  const where = ['-i', 'lo', '--netns', namespace.path, '--cgroup', cgroup];
  const live = startProcflow(t, ['live', '--wide', ...where]);
  await live.line('err', /metering lo/);
  await runGenerator(t, { namespace, cgroup }, ['udp-client', 'asker'], ...TO);
  await live.stop();
  const at = live.out.findIndex((line) => /asker\[\d+\] -> \(kernel\)/.test(line));
  t.ok(at >= 0, live.out.join('\n'));
  const below = live.out[at + 1] ?? '';
  t.ok(below.startsWith(`${' '.repeat(17)}/`) && below.includes(`${COMMAND_LINE}  (`), below);
  t.match(below, /child of .+\[\d+\]\)$/);
  t.match(live.err.join('\n'), /attribution: .*socket \d+ packets in \d+ records/);
});
