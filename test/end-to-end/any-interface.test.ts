// `-i any` meters what is there, what appears later, and lets go of what vanishes.
import { execFileSync } from 'node:child_process';
import t from 'tap';
import { startExportCapture } from '../support/export-capture.js';
import { runGenerator } from '../support/generators.js';
import { createNamespace } from '../support/network-namespace.js';
import { startNfcapd } from '../support/nfcapd.js';
import { startExport } from '../support/procflow.js';
import { missingRequirement } from '../support/requirements.js';
import { createCgroup } from '../support/test-cgroup.js';

const PACKETS = 23;
const PAYLOAD_OCTETS = 100;
const IP_OCTETS = 20 + 8 + PAYLOAD_OCTETS;

t.test('an interface that appears later is metered', { skip: missingRequirement() }, async (t) => {
  const [namespace, other] = [createNamespace(t), createNamespace(t)];
  const ip = (...args: string[]): void => {
    execFileSync('ip', ['-n', namespace.name, ...args]);
  };
  const cgroup = createCgroup(t);
  const place = { namespace, cgroup };
  const collector = await startNfcapd(t);
  const capture = await startExportCapture(t, collector.port);
  const options = { namespace, interfaces: ['any'], version: 10, cgroup } as const;
  const exporter = await startExport(t, { ...options, port: collector.port });
  t.match(exporter.program.err.join('\n'), /metering lo/, 'what is there at the start');

  ip('link', 'add', 'late0', 'type', 'veth', 'peer', 'name', 'late0', 'netns', other.name);
  execFileSync('ip', ['-n', other.name, 'link', 'set', 'late0', 'up']);
  await exporter.program.line('err', /late0 appeared/);
  execFileSync('ip', [
    'netns',
    'exec',
    namespace.name,
    'sysctl',
    '-qw',
    'net.ipv6.conf.late0.disable_ipv6=1',
  ]);
  ip('link', 'set', 'late0', 'up');
  const frames = ['--interface', 'late0', '--source', '10.0.0.1', '--to', '10.0.0.2'];
  const sizes = ['--count', PACKETS, '--size', PAYLOAD_OCTETS];
  const sent = await runGenerator(
    t,
    place,
    ['frame-sender', 'late-sender'],
    ...[...frames, '--destination-mac', '02:00:00:00:00:01', ...sizes],
  );
  ip('link', 'del', 'late0');
  await exporter.program.line('err', /late0 is gone/);

  const summary = await exporter.stop();
  await capture.stop();
  await collector.stop();
  const flows = capture.flows().filter((flow) => flow.packets > 0 && flow.protocol === 17);
  t.equal(flows.length, 1);
  t.match(flows[0], {
    packets: PACKETS,
    octets: PACKETS * IP_OCTETS,
    sourceProcess: { pid: sent.pid, name: 'late-sender' },
  });
  t.match(summary.end, { code: 0 });
});
