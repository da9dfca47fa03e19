// Interfaces that are renamed, moved to another network namespace and back, or made anew between two
// looks at them; and a network namespace that is removed.
import { execFileSync } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';
import t from 'tap';
import { runGenerator, type Place } from '../support/generators.js';
import { sumFlows } from '../support/metering-session.js';
import { createNamespace, type Namespace } from '../support/network-namespace.js';
import { startNfcapd } from '../support/nfcapd.js';
import { startExport } from '../support/procflow.js';
import type { Teardown } from '../support/program.js';
import { missingRequirement } from '../support/requirements.js';
import { createCgroup } from '../support/test-cgroup.js';

const skip = missingRequirement();
const PACKETS = 23;
const NAME = 'veth0';
const INDEX = '77';
const ATTACH = ['tcx', 'clsact'] as const;
const PATIENCE = 4000;

function ip(namespace: Namespace, ...args: readonly string[]): void {
  execFileSync('ip', ['-n', namespace.name, ...args]);
}

/** Nothing but what the test sends is on the wire. */
function silence(namespace: Namespace): void {
  const sysctl = ['sysctl', '-qw', 'net.ipv6.conf.default.disable_ipv6=1'];
  execFileSync('ip', ['netns', 'exec', namespace.name, ...sysctl]);
}

/** An interface whose other end is elsewhere. */
function plugIn(namespace: Namespace, other: Namespace): void {
  const peer = ['type', 'veth', 'peer', 'name', NAME, 'netns', other.name];
  ip(namespace, 'link', 'add', NAME, 'index', INDEX, ...peer);
  ip(other, 'link', 'set', NAME, 'up');
  ip(namespace, 'link', 'set', NAME, 'up');
}

async function send(t: Teardown, place: Place, name = NAME): Promise<number> {
  const link = ['--interface', name, '--destination-mac', '02:00:00:00:00:42'];
  const ends = ['--source', '10.0.0.1', '--to', '10.0.0.2', '--count', PACKETS];
  return Number((await runGenerator(t, place, 'frame-sender', ...link, ...ends)).packets);
}

/** Waits until the namespace has no such interface. */
async function departure(namespace: Namespace): Promise<void> {
  for (let attempt = 0; attempt < PATIENCE; attempt++) {
    if (!execFileSync('ip', ['-n', namespace.name, 'link'], { encoding: 'utf8' }).includes(NAME))
      return;
    await delay(5);
  }
  throw new Error(`${NAME} stays`);
}

/** Metering in a namespace with one interface, whose other end is in another namespace. */
async function startStage(t: Teardown, interfaces: readonly string[], ...options: string[]) {
  const [namespace, other, third] = [createNamespace(t), createNamespace(t), createNamespace(t)];
  for (const each of [namespace, other, third]) silence(each);
  const cgroup = createCgroup(t);
  plugIn(namespace, other);
  const collector = await startNfcapd(t);
  const settings = { namespace, interfaces, version: 10, cgroup, options } as const;
  const exporter = await startExport(t, { ...settings, port: collector.port });
  const line = (pattern: RegExp): Promise<string> => exporter.program.line('err', pattern);
  return {
    ...{ namespace, other, third, exporter, line, place: { namespace, cgroup } },
    pause: () => process.kill(exporter.program.pid, 'SIGSTOP'),
    goOn: () => process.kill(exporter.program.pid, 'SIGCONT'),
    finish: async () => {
      const summary = await exporter.stop();
      return { summary, nfdump: sumFlows(await collector.stop()) };
    },
  };
}

t.test('an interface that is renamed is metered on, with "any"', { skip }, async (t) => {
  const stage = await startStage(t, ['any']);
  const { namespace, place } = stage;
  // Up it keeps its name on older kernels; the frames find it by its index.
  const frames = ['--interface', NAME, '--destination-mac', '02:00:00:00:00:42'];
  const ends = ['--source', '10.0.0.1', '--to', '10.0.0.2', '--count', PACKETS];
  await runGenerator(t, place, 'frame-sender', ...frames, ...ends);
  stage.pause();
  ip(namespace, 'link', 'set', NAME, 'down');
  ip(namespace, 'link', 'set', NAME, 'name', 'uplink0');
  ip(namespace, 'link', 'set', 'uplink0', 'up');
  await send(t, place, 'uplink0');
  stage.goOn();
  await stage.line(/interface veth0 is called uplink0 now$/);
  await send(t, place, 'uplink0');
  const { summary, nfdump } = await stage.finish();
  t.equal(nfdump.packets, 3 * PACKETS, 'none was missed meanwhile');
  t.equal(summary.counter('METERED_PACKETS'), 3 * PACKETS);
  t.notOk(summary.lines.some((line) => /gone|appeared/.test(line)));
});

t.test('two interfaces that swap their names are metered once each', { skip }, async (t) => {
  const stage = await startStage(t, ['any']);
  const { namespace, place } = stage;
  ip(namespace, 'link', 'add', 'veth1', 'type', 'veth', 'peer', 'name', 'peer1');
  ip(namespace, 'link', 'set', 'veth1', 'up');
  await stage.line(/interface peer1 appeared/);
  stage.pause();
  for (const [from, to] of [
    [NAME, 'veth2'],
    ['veth1', NAME],
    ['veth2', 'veth1'],
  ] as const) {
    ip(namespace, 'link', 'set', from, 'down');
    ip(namespace, 'link', 'set', from, 'name', to);
    ip(namespace, 'link', 'set', to, 'up');
  }
  stage.goOn();
  await stage.line(/interface veth1 is called veth0 now/);
  await stage.line(/interface veth0 is called veth1 now/);
  await send(t, place, 'veth1');
  const { summary } = await stage.finish();
  t.equal(summary.counter('METERED_PACKETS'), PACKETS);
});

for (const attach of ATTACH) {
  t.test(`an interface is moved away and comes back unseen, ${attach}`, { skip }, async (t) => {
    const stage = await startStage(t, [NAME], '--attach', attach);
    const { namespace, third, place } = stage;
    await send(t, place);
    stage.pause();
    ip(namespace, 'link', 'set', NAME, 'netns', third.name);
    ip(third, 'link', 'set', NAME, 'netns', namespace.name);
    ip(namespace, 'link', 'set', NAME, 'up');
    stage.goOn();
    // Marks that it has been looked at: a link goes along with its interface, a filter does not.
    if (attach === 'clsact') await stage.line(/interface veth0 appeared and is metered/);
    await send(t, place);
    const { nfdump } = await stage.finish();
    t.equal(nfdump.packets, 2 * PACKETS);
  });

  t.test(
    `an interface is moved away for good and not metered there, ${attach}`,
    { skip },
    async (t) => {
      const stage = await startStage(t, ['any'], '--attach', attach);
      const { namespace, third, place } = stage;
      await send(t, place);
      ip(namespace, 'link', 'set', NAME, 'netns', third.name);
      await stage.line(/interface veth0 is gone/);
      ip(third, 'link', 'set', NAME, 'up');
      await send(t, { ...place, namespace: third });
      const { summary, nfdump } = await stage.finish();
      t.equal(nfdump.packets, PACKETS);
      t.match(summary.end, { code: 0 });
    },
  );

  t.test(
    `an interface is made anew, with its name and index, unseen, ${attach}`,
    { skip },
    async (t) => {
      const stage = await startStage(t, [NAME], '--attach', attach);
      const { namespace, other, place } = stage;
      await send(t, place);
      stage.pause();
      ip(namespace, 'link', 'del', NAME);
      plugIn(namespace, other);
      stage.goOn();
      await stage.line(/interface veth0 is gone/);
      await stage.line(/interface veth0 appeared and is metered/);
      await send(t, place);
      const { nfdump } = await stage.finish();
      t.equal(nfdump.packets, 2 * PACKETS);
    },
  );
}

t.test('a network namespace that is removed is let go', { skip }, async (t) => {
  const stage = await startStage(t, ['any']);
  const { namespace, other, place } = stage;
  await send(t, place);
  execFileSync('ip', ['netns', 'del', namespace.name]);
  await stage.line(/network namespace procflow-\S+ was removed: nothing is metered/);
  // Its interfaces go with it, and so do their other ends.
  await departure(other);
  execFileSync('ip', ['netns', 'add', namespace.name]); // for the teardown
  const { summary, nfdump } = await stage.finish();
  t.match(summary.end, { code: 0 });
  t.equal(nfdump.packets, PACKETS);
});
