// `procflow live --json`: one object a flow, for people with jq and without a collector.
import t from 'tap';
import { runGenerator, startGenerator } from '../support/generators.js';
import { createNamespace } from '../support/network-namespace.js';
import { startProcflow } from '../support/procflow.js';
import { missingRequirement } from '../support/requirements.js';
import { createCgroup } from '../support/test-cgroup.js';

const skip = missingRequirement();
const PACKETS = 23;
const PAYLOAD_OCTETS = 100;

t.test('live --json prints a flow with both of its processes', { skip }, async (t) => {
  const namespace = createNamespace(t);
  const cgroup = createCgroup(t);
  const place = { namespace, cgroup };
  const where = ['-i', 'any', '--netns', namespace.path, '--cgroup', cgroup];
  const live = startProcflow(t, ['live', '--json', ...where]);
  await live.line('err', /metering lo/);

  const server = startGenerator(t, place, ['udp-server', 'resolver'], '--count', PACKETS);
  const ready = await server.report('ready');
  const to = ['--to', '127.0.0.1', '--port', Number(ready.port), '--count', PACKETS];
  const client = await runGenerator(t, place, ['udp-client', 'asker'], ...to, '--size', 100);
  await server.success();
  await live.stop();

  const flows = live.out.map((line) => JSON.parse(line) as unknown);
  t.match(flows, [
    {
      sourceAddress: '127.0.0.1',
      destinationAddress: '127.0.0.1',
      protocolIdentifier: 17,
      sourceTransportPort: client.port,
      destinationTransportPort: ready.port,
      packetDeltaCount: PACKETS,
      octetDeltaCount: PACKETS * (20 + 8 + PAYLOAD_OCTETS),
      sourceProcess: { processId: client.pid, processName: 'asker', attribution: 'socket' },
      destinationProcess: { processId: ready.pid, processName: 'resolver', attribution: 'socket' },
    },
  ]);
});

t.test('a flow is printed while procflow runs, once it is idle', { skip }, async (t) => {
  const namespace = createNamespace(t);
  const place = { namespace, cgroup: createCgroup(t) };
  const where = ['-i', 'lo', '--netns', namespace.name, '--cgroup', place.cgroup];
  const live = startProcflow(t, ['live', '--json', ...where, '--idle-timeout', '0.1']);
  await live.line('err', /metering lo/);
  await runGenerator(t, place, ['udp-client', 'once'], '--to', '::1', '--port', 9);

  const line = await live.line('out', /"once"/);
  t.match(JSON.parse(line), { flowEndReason: 'idleTimeout', packetDeltaCount: 1 });
  await live.stop();
});
