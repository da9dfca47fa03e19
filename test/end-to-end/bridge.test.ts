// Frames that come in through a port of a bridge: those for the host's own address, which is the
// bridge's, belong to the host's process; those that the bridge passes on belong to nobody.
import { execFileSync } from 'node:child_process';
import t from 'tap';
import { runGenerator, startGenerator, type Place } from '../support/generators.js';
import { createNamespace, type Namespace } from '../support/network-namespace.js';
import { startProcflow } from '../support/procflow.js';
import { missingRequirement } from '../support/requirements.js';
import { createCgroup } from '../support/test-cgroup.js';

const PORT = 7001;
const ADDRESSES = {
  4: { host: '10.96.3.1', container: '10.96.3.2', neighbour: '10.96.3.3' },
  6: { host: 'fd96:3::1', container: 'fd96:3::2', neighbour: 'fd96:3::3' },
} as const;

interface LiveFlow {
  readonly sourceAddress: string;
  readonly destinationAddress: string;
  readonly protocolIdentifier: number;
  readonly sourceProcess: { attribution: string; processName?: string } | null;
  readonly destinationProcess: { attribution: string; processName?: string } | null;
}

function ip(namespace: Namespace, ...args: readonly string[]): void {
  execFileSync('ip', ['-n', namespace.name, ...args]);
}

function giveAddresses(
  namespace: Namespace,
  device: string,
  end: keyof (typeof ADDRESSES)[4],
): void {
  ip(namespace, 'addr', 'add', `${ADDRESSES[4][end]}/24`, 'dev', device);
  ip(namespace, 'addr', 'add', `${ADDRESSES[6][end]}/64`, 'dev', device, 'nodad');
  ip(namespace, 'link', 'set', device, 'up');
}

/** Its MAC address is none of a port’s. */
function bridge(host: Namespace, ports: Readonly<Record<string, Namespace>>): void {
  const own = ['address', '02:00:00:00:00:01'];
  ip(host, 'link', 'add', 'br0', ...own, 'type', 'bridge', 'forward_delay', '0');
  for (const [port, other] of Object.entries(ports)) {
    const peer = ['type', 'veth', 'peer', 'name', 'eth0', 'netns', other.name];
    ip(host, 'link', 'add', port, ...peer);
    ip(host, 'link', 'set', port, 'master', 'br0', 'up');
  }
  giveAddresses(host, 'br0', 'host');
}

function processes(flow: LiveFlow): (LiveFlow['sourceProcess'] | undefined)[] {
  return [flow.sourceProcess, flow.destinationProcess].filter((process) => process !== null);
}

const TITLE = 'a bridge port’s frames for the host are its process’s, others are forwarded';

t.test(TITLE, { skip: missingRequirement() }, async (t) => {
  const [host, container, neighbour] = [createNamespace(t), createNamespace(t), createNamespace(t)];
  const cgroup = createCgroup(t);
  const place = (namespace: Namespace): Place => ({ namespace, cgroup });
  for (const key of ['net.ipv4.ip_forward', 'net.ipv6.conf.all.forwarding']) {
    const setting = ['sysctl', '-qw', `${key}=1`];
    execFileSync('ip', ['netns', 'exec', host.name, ...setting]);
  }
  bridge(host, { c0: container, n0: neighbour });
  giveAddresses(container, 'eth0', 'container');
  giveAddresses(neighbour, 'eth0', 'neighbour');

  const where = ['-i', 'c0', '--netns', host.name, '--cgroup', cgroup];
  const live = startProcflow(t, ['live', '--json', ...where]);
  await live.line('err', /metering .*c0/);
  for (const version of [4, 6] as const) {
    const ends = ADDRESSES[version];
    for (const kind of ['udp', 'tcp'] as const) {
      const role = ['--echo', '--address', version === 4 ? '0.0.0.0' : '::', '--port', PORT];
      const own = startGenerator(t, place(host), [`${kind}-server`, 'on-host'], ...role);
      const far = startGenerator(t, place(neighbour), [`${kind}-server`, 'far'], ...role);
      await Promise.all([own.report('ready'), far.report('ready')]);
      for (const to of [ends.host, ends.neighbour]) {
        const args = ['--to', to, '--port', PORT, '--read-echo'];
        await runGenerator(t, place(container), [`${kind}-client`, 'client'], ...args);
      }
      await Promise.all([own.success(), far.success()]);
    }
  }
  await live.stop();

  const flows = live.out.map((line) => JSON.parse(line) as LiveFlow);
  for (const version of [4, 6] as const) {
    const ends = ADDRESSES[version];
    for (const [other, expected] of [
      [ends.host, { attribution: 'socket', processName: 'on-host' }],
      [ends.neighbour, { attribution: 'forwarded' }],
    ] as const) {
      const between = flows.filter(
        ({ protocolIdentifier, sourceAddress, destinationAddress }) =>
          [6, 17].includes(protocolIdentifier) &&
          [sourceAddress, destinationAddress].includes(other),
      );
      t.equal(between.length, 4, `UDP and TCP, both directions, with ${other}`);
      for (const flow of between) t.match(processes(flow), [expected], JSON.stringify(flow));
    }
  }
});
