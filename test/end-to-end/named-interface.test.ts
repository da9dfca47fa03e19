// `-i NAME` meters the interface of that name: also after it went away and came back, and once when
// it is named twice.
import { execFileSync } from 'node:child_process';
import t from 'tap';
import { startExportCapture } from '../support/export-capture.js';
import { runGenerator } from '../support/generators.js';
import { createNamespace } from '../support/network-namespace.js';
import { startNfcapd } from '../support/nfcapd.js';
import { startExport } from '../support/procflow.js';
import { missingRequirement } from '../support/requirements.js';
import { createCgroup } from '../support/test-cgroup.js';

const skip = missingRequirement();
const PACKETS = 23;
const UDP = 17;
const NAME = 'veth0';
const OTHER_NAME = 'uplink0';

/** A namespace with one end of a veth pair, which can be unplugged and plugged in again. */
function createPluggable(t: Parameters<typeof createNamespace>[0]) {
  const [namespace, other] = [createNamespace(t), createNamespace(t)];
  const ip = (...args: string[]): void => {
    execFileSync('ip', ['-n', namespace.name, ...args]);
  };
  return {
    namespace,
    ip,
    plugIn: () => {
      ip('link', 'add', NAME, 'type', 'veth', 'peer', 'name', NAME, 'netns', other.name);
      execFileSync('ip', ['-n', other.name, 'link', 'set', NAME, 'up']);
      ip('link', 'set', NAME, 'up');
    },
    unplug: () => {
      ip('link', 'del', NAME);
    },
  };
}

const FRAMES = [
  ...['--interface', NAME, '--destination-mac', '02:00:00:00:00:01'],
  ...['--source', '10.0.0.1', '--to', '10.0.0.2', '--count', PACKETS],
];

t.test('an interface that comes back under its name is metered again', { skip }, async (t) => {
  const { namespace, plugIn, unplug } = createPluggable(t);
  const cgroup = createCgroup(t);
  plugIn();
  const collector = await startNfcapd(t);
  const capture = await startExportCapture(t, collector.port);
  const options = { namespace, interfaces: [NAME], version: 10, cgroup } as const;
  const exporter = await startExport(t, { ...options, port: collector.port });

  await runGenerator(t, { namespace, cgroup }, 'frame-sender', ...FRAMES);
  unplug();
  await exporter.program.line('err', /interface veth0 is gone/);
  plugIn();
  await exporter.program.line('err', /interface veth0 appeared and is metered/);
  await runGenerator(t, { namespace, cgroup }, 'frame-sender', ...FRAMES);

  const { end } = await exporter.stop();
  await capture.stop();
  await collector.stop();
  const flows = capture.flows().filter((flow) => flow.protocol === UDP);
  t.same(
    flows.map((flow) => flow.packets),
    [PACKETS, PACKETS],
    'before and after',
  );
  t.match(end, { code: 0 });
});

for (const attach of ['tcx', 'clsact'] as const) {
  t.test(`an interface that is named twice is metered once, ${attach}`, { skip }, async (t) => {
    const { namespace, ip, plugIn } = createPluggable(t);
    const cgroup = createCgroup(t);
    plugIn();
    ip('link', 'property', 'add', 'dev', NAME, 'altname', OTHER_NAME);
    const collector = await startNfcapd(t);
    const capture = await startExportCapture(t, collector.port);
    const exporter = await startExport(t, {
      ...{ namespace, interfaces: [NAME, OTHER_NAME], version: 10, cgroup },
      ...{ port: collector.port, options: ['--attach', attach] },
    });
    t.match(exporter.program.err.join('\n'), /metering veth0;/);
    await runGenerator(t, { namespace, cgroup }, 'frame-sender', ...FRAMES);
    await exporter.stop();
    await capture.stop();
    await collector.stop();
    const flows = capture.flows().filter((flow) => flow.protocol === UDP);
    t.match(flows, [{ packets: PACKETS }]);
    t.equal(flows.length, 1);
  });
}
