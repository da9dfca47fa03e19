// What a router forwards belongs to none of its processes, also where one of them listens on the
// same port on all addresses. What is meant for the router itself belongs to that process.
import { execFileSync } from 'node:child_process';
import t from 'tap';
import { runGenerator, startGenerator, type Place } from '../support/generators.js';
import { createNamespace, type Namespace } from '../support/network-namespace.js';
import { startProcflow } from '../support/procflow.js';
import { missingRequirement } from '../support/requirements.js';
import { createCgroup } from '../support/test-cgroup.js';

const PORT = 5353;
const CLIENT = { 4: '10.96.1.2', 6: 'fd96:1::2' } as const;
const ROUTER = { 4: '10.96.1.1', 6: 'fd96:1::1' } as const;
const SERVER = { 4: '10.96.2.2', 6: 'fd96:2::2' } as const;

interface LiveFlow {
  readonly sourceAddress: string;
  readonly destinationAddress: string;
  readonly protocolIdentifier: number;
  readonly flowDirection: 'ingress' | 'egress';
  readonly sourceProcess: { attribution: string; processName?: string } | null;
  readonly destinationProcess: { attribution: string; processName?: string } | null;
}

function ip(namespace: Namespace, ...args: readonly string[]): void {
  execFileSync('ip', ['-n', namespace.name, ...args]);
}

/** A wire between the router's `name` and eth0 of `host`, which routes everything over it. */
function connect(router: Namespace, name: string, host: Namespace, number: number): void {
  const peer = ['type', 'veth', 'peer', 'name', 'eth0', 'netns', host.name];
  ip(router, 'link', 'add', name, ...peer);
  const ends = [
    { at: router, device: name, last: 1 },
    { at: host, device: 'eth0', last: 2 },
  ];
  for (const { at, device, last } of ends) {
    ip(at, 'addr', 'add', `10.96.${number}.${last}/24`, 'dev', device);
    ip(at, 'addr', 'add', `fd96:${number}::${last}/64`, 'dev', device, 'nodad');
    ip(at, 'link', 'set', device, 'up');
  }
  ip(host, 'route', 'add', 'default', 'via', `10.96.${number}.1`);
  ip(host, 'route', 'add', 'default', 'via', `fd96:${number}::1`);
}

function processes(flow: LiveFlow): (LiveFlow['sourceProcess'] | undefined)[] {
  return [flow.sourceProcess, flow.destinationProcess].filter((process) => process !== null);
}

t.test('forwarded packets are charged to nobody', { skip: missingRequirement() }, async (t) => {
  const [router, client, server] = [createNamespace(t), createNamespace(t), createNamespace(t)];
  const cgroup = createCgroup(t);
  const place = (namespace: Namespace): Place => ({ namespace, cgroup });
  for (const key of ['net.ipv4.ip_forward', 'net.ipv6.conf.all.forwarding']) {
    execFileSync('ip', ['netns', 'exec', router.name, 'sysctl', '-qw', `${key}=1`]);
  }
  connect(router, 'c0', client, 1);
  connect(router, 's0', server, 2);

  const where = ['-i', 'any', '--netns', router.name, '--cgroup', cgroup];
  const live = startProcflow(t, ['live', '--json', ...where]);
  await live.line('err', /metering .*c0/);
  for (const version of [4, 6] as const) {
    for (const kind of ['udp', 'tcp'] as const) {
      const role = ['--echo', '--address', version === 4 ? '0.0.0.0' : '::', '--port', PORT];
      // The router's own listener, on all addresses and the same port.
      const own = startGenerator(t, place(router), [`${kind}-server`, 'on-router'], ...role);
      const far = startGenerator(t, place(server), [`${kind}-server`, 'far-server'], ...role);
      await Promise.all([own.report('ready'), far.report('ready')]);
      for (const to of [SERVER[version], ROUTER[version]]) {
        const args = ['--to', to, '--port', PORT, '--read-echo'];
        await runGenerator(t, place(client), [`${kind}-client`, 'client'], ...args);
      }
      await Promise.all([own.success(), far.success()]);
    }
  }
  await live.stop();

  const flows = live.out
    .map((line) => JSON.parse(line) as LiveFlow)
    .filter(({ protocolIdentifier }) => protocolIdentifier === 17 || protocolIdentifier === 6);
  for (const version of [4, 6] as const) {
    for (const protocol of [17, 6]) {
      const between = (a: string, b: string): LiveFlow[] =>
        flows.filter(
          (flow) =>
            flow.protocolIdentifier === protocol &&
            [flow.sourceAddress, flow.destinationAddress].sort().join() === [a, b].sort().join(),
        );
      const through = between(CLIENT[version], SERVER[version]);
      t.equal(through.length, 4, 'both directions, each on the way in and on the way out');
      for (const flow of through) t.same(processes(flow), [{ attribution: 'forwarded' }]);
      const own = between(CLIENT[version], ROUTER[version]);
      t.equal(own.length, 2);
      for (const flow of own) t.match(processes(flow), [{ processName: 'on-router' }]);
    }
  }
});
