// A filter expression on the command line: only packets that match are metered, wherever that is, and
// the others go on their way.
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import t, { type Test } from 'tap';
import { runGenerator, startGenerator } from '../support/generators.js';
import { bringUp, createNamespace, createNamespacePair } from '../support/network-namespace.js';
import { runProcflow, startProcflow } from '../support/procflow.js';
import type { Program } from '../support/program.js';
import { missingRequirement } from '../support/requirements.js';
import type { CapturedFlow } from '../support/socket-capture.js';
import { createCgroup } from '../support/test-cgroup.js';

const skip = missingRequirement();
const PACKETS = 23;
const WANTED = 4001;
const OTHER = 4002;
/** Longer than a test: each flow is one record. */
const TIMEOUTS = ['--active-timeout', '600', '--idle-timeout', '600'];

/** Port and packets of each flow of UDP to one of the ports, in the order of both. */
async function datagramFlows(live: Program): Promise<readonly (readonly [number, number])[]> {
  await live.stop();
  return live.out
    .map((line) => JSON.parse(line) as CapturedFlow)
    .filter(({ protocolIdentifier }) => protocolIdentifier === 17)
    .filter(({ destinationTransportPort: port }) => port === WANTED || port === OTHER)
    .map((flow) => [flow.destinationTransportPort, flow.packetDeltaCount] as const)
    .sort(([a, m], [b, n]) => a - b || m - n);
}

async function startLive(t: Test, ...args: readonly string[]): Promise<Program> {
  const live = startProcflow(t, ['live', '--json', ...TIMEOUTS, ...args]);
  await live.line('err', /metering/);
  return live;
}

for (const attach of ['tcx', 'clsact']) {
  t.test(`at an interface, by ${attach}, only what matches is metered`, { skip }, async (t) => {
    const pair = createNamespacePair(t);
    const cgroup = createCgroup(t);
    bringUp(pair);
    const where = (side: 'a' | 'b'): string[] => {
      return ['-i', pair[side].interfaceName, '--netns', pair[side].name, '--cgroup', cgroup];
    };
    const expression = ['udp', 'port', String(WANTED)];
    const out = await startLive(t, ...where('a'), '--attach', attach, ...expression);
    t.match(out.err, [`procflow: metering veth0; filter udp port ${WANTED}; Ctrl-C ends`]);
    const into = await startLive(t, ...where('b'), '--attach', attach, expression.join(' '));
    // By TCX it comes after the first one there, and must be handed what that one passed over.
    const all = await startLive(t, ...where('a'), '--attach', 'tcx');
    for (const address of [pair.b.ipv4, pair.b.ipv6]) {
      for (const port of [WANTED, OTHER]) {
        const to = ['--to', address, '--port', port, '--count', PACKETS];
        await runGenerator(t, { namespace: pair.a, cgroup }, 'udp-client', ...to);
      }
    }
    const wanted = [
      [WANTED, PACKETS],
      [WANTED, PACKETS],
    ];
    const others = [
      [OTHER, PACKETS],
      [OTHER, PACKETS],
    ];
    t.same(await datagramFlows(all), [...wanted, ...others], 'without filter');
    t.same(await datagramFlows(out), wanted, 'on their way out');
    t.same(await datagramFlows(into), wanted, 'on their way in');
    const printed = [...out.out, ...into.out].map((line) => JSON.parse(line) as CapturedFlow);
    t.ok(
      printed.every(({ protocolIdentifier }) => protocolIdentifier === 17),
      'and nothing else: no neighbour discovery, no ICMP',
    );
  });
}

t.test('at sockets only what matches is metered', { skip }, async (t) => {
  const cgroup = createCgroup(t);
  const place = { namespace: createNamespace(t), cgroup };
  const where = ['--capture', 'sockets', '--cgroup', cgroup];
  const filtered = await startLive(t, ...where, `udp dst port ${WANTED} and len = 128`);
  const all = await startLive(t, ...where);
  for (const [port, size] of [
    [WANTED, 100],
    [WANTED, 101],
    [OTHER, 100],
  ] as const) {
    const to = ['--to', '127.0.0.1', '--port', port, '--count', PACKETS, '--size', size];
    await runGenerator(t, place, 'udp-client', ...to);
  }
  t.same(await datagramFlows(filtered), [[WANTED, PACKETS]]);
  t.same(await datagramFlows(all), [
    [WANTED, PACKETS],
    [WANTED, PACKETS],
    [OTHER, PACKETS],
  ]);
});

const skipTun = skip || (!existsSync('/dev/net/tun') && 'there is no /dev/net/tun (module tun)');

t.test('without a link layer only what matches is metered', { skip: skipTun }, async (t) => {
  const namespace = createNamespace(t);
  const cgroup = createCgroup(t);
  const place = { namespace, cgroup };
  const ip = (...args: string[]): void => {
    execFileSync('ip', ['-n', namespace.name, ...args]);
  };
  const count = ['--count', 2 * PACKETS] as const;
  const echo = startGenerator(t, place, 'tun-echo', '--interface', 'tun0', ...count);
  await echo.report('ready');
  ip('addr', 'add', '10.97.0.1/24', 'dev', 'tun0');
  const where = ['-i', 'tun0', '--netns', namespace.name, '--cgroup', cgroup];
  const live = await startLive(t, ...where, `udp port ${WANTED} and ip[8] > 1`);
  const onFrames = await runProcflow(t, ['live', ...where, 'ether multicast']);
  t.equal(onFrames.end.code, 2);
  t.match(onFrames.err, /^procflow: filter "ether multicast": .*\(see man pcap-filter\)$/);
  ip('link', 'set', 'tun0', 'up');
  for (const port of [WANTED, OTHER]) {
    const to = ['--to', '10.97.0.2', '--port', port, '--count', PACKETS, '--read-echo'];
    await runGenerator(t, place, 'udp-client', ...to);
  }
  await echo.report('done');
  await live.stop();
  const flows = live.out.map((line) => JSON.parse(line) as CapturedFlow);
  const ends = ['sourceTransportPort', 'destinationTransportPort'] as const;
  const ports = flows.map((flow) => ends.map((end) => flow[end] === WANTED));
  t.same(ports.sort(), [
    [false, true],
    [true, false],
  ]);
  for (const { packetDeltaCount } of flows) t.equal(packetDeltaCount, PACKETS);
});

t.test(
  'a VLAN tag is where live tcpdump has it, and in its place with vlan',
  { skip },
  async (t) => {
    const pair = createNamespacePair(t);
    const cgroup = createCgroup(t);
    bringUp(pair);
    const { a, b } = pair;
    const where = ['-i', b.interfaceName, '--netns', b.name, '--cgroup', cgroup];
    // On its way in, the kernel has taken the tag out of the frame.
    const FILTERS = {
      udp: [
        [WANTED, 1],
        [WANTED, 2],
        [WANTED, 4],
      ],
      'udp and len = 242': [[WANTED, 4]],
      'ether[12:2] = 0x8100': [[WANTED, 8]],
      'ether[16:2] = 0x0800': [[WANTED, 8]],
      'vlan 5 and udp': [[WANTED, 2]],
      'vlan and vlan 7 and udp': [[WANTED, 8]],
      'udp or (vlan and len > 150)': [
        [WANTED, 1],
        [WANTED, 4],
      ],
    } as const;
    const lives = new Map<string, Program>();
    for (const filter of Object.keys(FILTERS))
      lives.set(filter, await startLive(t, ...where, filter));
    const link = ['--interface', a.interfaceName, '--destination-mac', b.mac];
    const ends = ['--source', a.ipv4, '--to', b.ipv4, '--port', WANTED];
    // Ports that tell the flows apart, where the meter does not.
    for (const options of [
      ['--count', 1, '--source-port', 2001],
      ['--count', 2, '--source-port', 2002, '--vlan', 5],
      ['--count', 4, '--source-port', 2004, '--vlan', 6, '--size', 200],
      ['--count', 8, '--source-port', 2008, '--vlan', 5, '--inner-vlan', 7],
    ]) {
      await runGenerator(t, { namespace: a, cgroup }, 'frame-sender', ...link, ...ends, ...options);
    }
    for (const [filter, expected] of Object.entries(FILTERS)) {
      const live = lives.get(filter);
      t.same(live && (await datagramFlows(live)), expected, filter);
    }
  },
);

t.test('an interface that appears later is filtered too', { skip }, async (t) => {
  const [namespace, other] = [createNamespace(t), createNamespace(t)];
  const cgroup = createCgroup(t);
  const place = { namespace, cgroup };
  const where = ['-i', 'any', '--netns', namespace.name, '--cgroup', cgroup];
  const live = await startLive(t, ...where, `udp dst port ${WANTED}`);
  const peer = ['type', 'veth', 'peer', 'name', 'late0', 'netns', other.name];
  execFileSync('ip', ['-n', namespace.name, 'link', 'add', 'late0', ...peer]);
  execFileSync('ip', ['-n', other.name, 'link', 'set', 'late0', 'up']);
  await live.line('err', /late0 appeared and is metered/);
  execFileSync('ip', ['-n', namespace.name, 'link', 'set', 'late0', 'up']);
  const link = ['--interface', 'late0', '--destination-mac', '02:00:00:00:00:01'];
  const ends = ['--source', '10.0.0.1', '--to', '10.0.0.2', '--count', PACKETS];
  for (const port of [WANTED, OTHER]) {
    await runGenerator(t, place, 'frame-sender', ...link, ...ends, '--port', port);
  }
  t.same(await datagramFlows(live), [[WANTED, PACKETS]]);
});

t.test('a filter that is too long for the kernel is refused in a line', { skip }, async (t) => {
  const namespace = createNamespace(t);
  const hosts = Array.from({ length: 600 }, (_, i) => `host 2001:db8::${i.toString(16)}`);
  const where = ['-i', 'lo', '--netns', namespace.name];
  const { end, err } = await runProcflow(t, ['live', ...where, hosts.join(' or ')]);
  t.equal(end.code, 2);
  t.match(
    err,
    /^procflow: filter "host 2001:db8::0 or host [^\n]*\.\.\.": is too long for the kernel/,
  );
});
