// A server of UDP ends, and its client goes on sending: what comes from then on is not the server's,
// though it is all one flow.
import t from 'tap';
import { startGenerator } from '../support/generators.js';
import { bringUp, createNamespacePair } from '../support/network-namespace.js';
import { startProcflow } from '../support/procflow.js';
import { missingRequirement } from '../support/requirements.js';
import { createCgroup } from '../support/test-cgroup.js';

interface LiveFlow {
  readonly destinationTransportPort: number;
  readonly destinationProcess: { attribution: string; processName?: string } | null;
}

t.setTimeout(90_000);

/** ABANDONED_NS in bpf/flow_owner.h is 10 s: the last datagrams of the server are that old first. */
t.test('a server that has ended is named no more', { skip: missingRequirement() }, async (t) => {
  const pair = createNamespacePair(t);
  const cgroup = createCgroup(t);
  bringUp(pair);
  const here = { namespace: pair.a, cgroup };
  const server = startGenerator(t, here, ['udp-server', 'mortal'], '--count', 3);
  const { port } = await server.report('ready');
  const where = ['-i', pair.a.interfaceName, '--netns', pair.a.name, '--cgroup', cgroup];
  const timeouts = ['--idle-timeout', '60', '--active-timeout', '1'];
  const live = startProcflow(t, ['live', '--json', ...where, ...timeouts]);
  await live.line('err', /^procflow: metering/);

  const to = ['--to', pair.a.ipv4, '--port', Number(port)];
  const many = ['--count', 100_000, '--pause', 100];
  const client = startGenerator(t, { namespace: pair.b }, 'udp-client', ...to, ...many);
  await server.success();
  const isKernel = `"destinationTransportPort":${String(port)},.*"attribution":"kernel"`;
  await live.line('out', new RegExp(isKernel));
  await client.stop('SIGKILL');
  await live.stop();

  const receivers = live.out
    .map((line) => JSON.parse(line) as LiveFlow)
    .filter(({ destinationTransportPort }) => destinationTransportPort === port)
    .map(({ destinationProcess }) => destinationProcess);
  t.match(receivers[0], { attribution: 'socket', processName: 'mortal' });
  const nobody = receivers.findIndex((receiver) => receiver?.attribution === 'kernel');
  for (const receiver of receivers.slice(nobody)) t.same(receiver, { attribution: 'kernel' });
});
