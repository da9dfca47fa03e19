// Hundreds of interfaces come and go, as those of containers do: each is metered while it is there,
// nothing of it stays behind, and nobody is told of more than has happened.
import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import t from 'tap';
import { openKernelFlowSource } from '../../src/bpf-loader/kernel-flow-source.js';
import { runGenerator } from '../support/generators.js';
import { createNamespace, type Namespace } from '../support/network-namespace.js';
import { missingRequirement } from '../support/requirements.js';
import { createCgroup } from '../support/test-cgroup.js';
import { NEVER } from '../support/timeouts.js';

const skip = missingRequirement();
/** With TCX, attaching and detaching take the kernel 10 ms and more each. */
const PAIRS = { tcx: 30, clsact: 150 };
const ROUNDS = 3;
const SENDERS = 5;
const PACKETS = 23;
const GROUP = '7';

function descriptors(): number {
  return readdirSync('/proc/self/fd').length;
}

/** Both ends in the one namespace: containers on one host. */
function createPairs(namespace: Namespace, count: number, round: number): string[] {
  const names = Array.from({ length: count }, (_, i) => `c${round}-${i}`);
  const lines = names.flatMap((name) => [
    `link add ${name} group ${GROUP} type veth peer name p${name}`,
    `link set p${name} up`,
    `link set ${name} up`,
  ]);
  execFileSync('ip', ['-n', namespace.name, '-batch', '-'], { input: lines.join('\n') });
  return names;
}

for (const attach of ['tcx', 'clsact'] as const) {
  t.test(`hundreds of veth pairs come and go, ${attach}`, { skip }, async (t) => {
    const cgroup = createCgroup(t);
    const namespace = createNamespace(t);
    const sysctl = ['sysctl', '-qw', 'net.ipv6.conf.default.disable_ipv6=1'];
    execFileSync('ip', ['netns', 'exec', namespace.name, ...sysctl]); // nothing but what is sent here
    const notices: string[] = [];
    const source = openKernelFlowSource({
      ...{
        timeouts: NEVER,
        maxFlows: 1000,
        interfaces: 'any',
        netns: namespace.name,
        cgroup,
        attach,
      },
      onNotice: (line) => void notices.push(line),
    });
    t.teardown(() => {
      source.close();
    });
    source.rescanInterfaces();
    const before = descriptors();

    for (let round = 1; round <= ROUNDS; round++) {
      const metered = source.counters().METERED_PACKETS;
      const names = createPairs(namespace, PAIRS[attach], round);
      while (source.rescanInterfaces()) continue;
      t.match(
        source.metered(),
        { interfaces: { length: 1 + 2 * PAIRS[attach] } },
        'all are metered',
      );
      for (const name of names.slice(0, SENDERS)) {
        await runGenerator(
          t,
          { namespace, cgroup },
          'frame-sender',
          ...['--interface', name, '--destination-mac', '02:00:00:00:00:42'],
          ...['--source', '10.0.0.1', '--to', '10.0.0.2', '--count', PACKETS],
        );
      }
      const packets = source.counters().METERED_PACKETS - metered;
      t.equal(packets, 2 * SENDERS * PACKETS, 'each packet at both ends of its pair');
      execFileSync('ip', ['-n', namespace.name, 'link', 'del', 'group', GROUP]);
      source.rescanInterfaces();
      t.same(source.metered(), { interfaces: ['lo'] });
      t.equal(descriptors(), before, 'no descriptor stays open');
    }
    t.equal(notices.length, 2 * ROUNDS, `a line for all that came or went: ${notices.join('\n')}`);
    const more = `and ${2 * PAIRS[attach] - 8} more`;
    t.equal(notices[0]?.endsWith(`${more} appeared and are metered`), true);
    t.equal(notices[1]?.endsWith(`${more} are gone`), true);

    const records: number[] = [];
    for await (const { count } of source.sweep('all')) records.push(count);
    const flows = records.reduce((sum, count) => sum + count, 0);
    t.equal(flows, 2 * SENDERS * ROUNDS, 'flows outlive their interfaces');
  });
}

t.test('pairs that go before they were seen are not spoken of', { skip }, async (t) => {
  const cgroup = createCgroup(t);
  const namespace = createNamespace(t);
  const notices: string[] = [];
  const source = openKernelFlowSource({
    ...{ timeouts: NEVER, maxFlows: 1000, interfaces: 'any', netns: namespace.name, cgroup },
    onNotice: (line) => void notices.push(line),
  });
  t.teardown(() => {
    source.close();
  });
  createPairs(namespace, PAIRS.clsact, 1);
  execFileSync('ip', ['-n', namespace.name, 'link', 'del', 'group', GROUP]);
  source.rescanInterfaces();
  t.same(notices, []);
  t.same(source.metered(), { interfaces: ['lo'] });
});
