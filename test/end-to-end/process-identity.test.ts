// What is known of a process beyond its flow: from real processes, most of them gone when their flows
// are exported.
import { mkdirSync, rmdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import t from 'tap';
import { readMeterConfig } from '../../src/daemon/meter-config.js';
import { runMeter, type RunSummary } from '../../src/daemon/run-meter.js';
import { FLOW_RECORD } from '../../src/flow/flow-contract.gen.js';
import { FlowRecord } from '../../src/flow/flow-record.js';
import type { ProcessIdentity } from '../../src/flow/process-directory.js';
import { GENERATORS, runGenerator, startGenerator, startIn } from '../support/generators.js';
import type { Place } from '../support/generators.js';
import { bringUp, createNamespacePair } from '../support/network-namespace.js';
import type { Teardown } from '../support/program.js';
import { missingRequirement } from '../support/requirements.js';
import { createCgroup } from '../support/test-cgroup.js';

const skip = missingRequirement();
const UDP_CLIENT = join(GENERATORS, 'udp-client');
const PROCESSES = 200;
const FIRST_PORT = 20_000;
const PEER_PORT = '9';

interface IdentifiedFlow {
  readonly sourcePort: number;
  readonly pid: number;
  readonly identity: ProcessIdentity | undefined;
}

interface Stage {
  readonly place: Place & { readonly cgroup: string };
  readonly peerPlace: Place;
  readonly peer: string;
  /** Starts to meter; resolves when packets are metered. */
  readonly start: () => Promise<void>;
  /** Ends the metering: every flow is asked for its process now. */
  readonly finish: () => Promise<{
    readonly flows: readonly IdentifiedFlow[];
    readonly summary: RunSummary;
  }>;
}

function createStage(t: Teardown): Stage {
  const cgroup = createCgroup(t);
  const pair = createNamespacePair(t);
  bringUp(pair);
  const config = readMeterConfig({
    capture: 'interface',
    interface: [pair.a.interfaceName],
    ...{ activeTimeout: '600', idleTimeout: '600', maxFlows: '4096', attach: 'auto' },
    ...{ sampling: 'none', track: 'full' },
    ...{ kernelName: '(kernel)', forwardedName: '(forwarded)', unknownName: '(unknown)' },
    netns: pair.a.name,
    cgroup,
  });
  const flows: IdentifiedFlow[] = [];
  const end = new AbortController();
  let session: Promise<RunSummary> | undefined;
  t.teardown(async () => {
    end.abort();
    await session;
  });
  const start = (): Promise<void> =>
    new Promise((resolve, reject) => {
      session = runMeter(
        config,
        async ({ directory }) => [
          {
            write: async ({ bytes, count }) => {
              for (let i = 0; i < count; i++) {
                const record = new FlowRecord().at(bytes, i * FLOW_RECORD.size);
                const { sourcePort } = record;
                const identity = directory.identity(record, 'source');
                flows.push({ sourcePort, pid: record.pid('source'), identity });
              }
            },
            flush: async () => undefined,
            close: async () => undefined,
          },
        ],
        { signal: end.signal, onMetering: () => resolve(), onNotice: () => undefined },
      );
      session.catch(reject);
    });
  return {
    place: { namespace: pair.a, cgroup },
    peerPlace: { namespace: pair.b },
    peer: pair.b.ipv6,
    start,
    finish: async () => {
      end.abort();
      if (session === undefined) throw new Error('the session was not started');
      return { summary: await session, flows };
    },
  };
}

/** A process that has ended stands in its cgroup until the kernel is done with it. */
async function removeWhenEmpty(cgroup: string): Promise<void> {
  for (;;) {
    try {
      rmdirSync(cgroup);
      return;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EBUSY') throw error;
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }
}

/** The flow that this process sent from this port. */
function flowOf(flows: readonly IdentifiedFlow[], port: unknown, pid: number): IdentifiedFlow {
  const found = flows.find((flow) => flow.sourcePort === port && flow.pid === pid);
  if (found === undefined) throw new Error(`no flow of process ${pid} from port ${String(port)}`);
  return found;
}

t.test(`${PROCESSES} processes of a millisecond at once are all known`, { skip }, async (t) => {
  const stage = createStage(t);
  await stage.start();
  const script = `i=0; while [ $i -lt ${PROCESSES} ]; do
    "$0" --to "$1" --port "$2" --source-port $((${FIRST_PORT} + i)) --size $((i + 1)) &
    i=$((i + 1)); done; wait`;
  const shell = startIn(t, stage.place, 'sh', '-c', script, UDP_CLIENT, stage.peer, PEER_PORT);
  const reports = await shell.success();
  t.equal(reports.length, PROCESSES);
  for (const { pid } of reports) t.throws(() => process.kill(pid, 0), { code: 'ESRCH' });
  const { flows, summary } = await stage.finish();

  const cgroupPath = `/${basename(stage.place.cgroup)}`;
  for (const { pid, port } of reports) {
    const { identity } = flowOf(flows, port, pid);
    const options = ['--to', stage.peer, '--port', PEER_PORT, '--source-port', String(port)];
    const size = String(Number(port) - FIRST_PORT + 1);
    t.same(identity, {
      executable: UDP_CLIENT,
      commandLine: [UDP_CLIENT, ...options, '--size', size].join(' '),
      parentPid: shell.pid,
      parentName: 'sh',
      cgroupPath,
      ...{ unit: '', containerId: '', containerRuntime: '', podUid: '' },
    });
  }
  t.equal(summary.counters?.PROCESS_EVENTS_LOST, 0);
  t.match(summary.processes, { evicted: 0, notFound: 0, postponed: 0, failedReads: 0 });
});

t.test('a child that executes nothing has the program of its parent', { skip }, async (t) => {
  const stage = createStage(t);
  await stage.start();
  const options = ['--to', stage.peer, '--port', PEER_PORT, '--udp'];
  const child = await runGenerator(t, stage.place, 'fork-and-send', ...options);
  const { flows } = await stage.finish();
  const path = join(GENERATORS, 'fork-and-send');
  t.match(flowOf(flows, child.port, child.pid).identity, {
    executable: path,
    commandLine: [path, ...options].join(' '),
    parentPid: child.parent,
    parentName: 'fork-and-send',
  });
});

t.test('after an exec a process is the new program, and its parent stays', { skip }, async (t) => {
  const stage = createStage(t);
  await stage.start();
  // Somebody must take the first packet, or the second send would fail.
  const server = startGenerator(t, stage.peerPlace, 'udp-server', '--count', 2);
  const { port } = await server.report('ready');
  const to = ['--to', stage.peer, '--port', String(port)];
  const after = ['--', UDP_CLIENT, ...to];
  const options = [...to, '--udp', '--use-first', ...after];
  const program = startGenerator(t, stage.place, 'exec-after-open', ...options);
  const [opened, done] = await program.success();
  const { flows } = await stage.finish();
  t.equal(done?.pid, opened?.pid, 'the same process');
  const { identity } = flowOf(flows, done?.port, program.pid);
  t.match(identity, { executable: UDP_CLIENT, parentPid: process.pid });
  t.match(identity?.commandLine, new RegExp(`^${UDP_CLIENT} ${to.join(' ')} --fd \\d+$`));
});

t.test('a process that began before procflow is known from /proc', { skip }, async (t) => {
  const stage = createStage(t);
  const options = ['--to', stage.peer, '--port', PEER_PORT, '--wait'];
  const program = startGenerator(t, stage.place, 'udp-client', ...options);
  await program.report('ready');
  await stage.start();
  program.write('\n');
  const { port } = await program.report('done');
  const { flows } = await stage.finish();
  t.match(flowOf(flows, port, program.pid).identity, {
    executable: UDP_CLIENT,
    commandLine: [UDP_CLIENT, ...options].join(' '),
    parentPid: process.pid,
    cgroupPath: `/${basename(stage.place.cgroup)}`,
  });
});

t.test('a container that is gone is known by the cgroup that it had', { skip }, async (t) => {
  const stage = createStage(t);
  await stage.start();
  const id = '0123456789abcdef'.repeat(4);
  const cgroup = join(stage.place.cgroup, `docker-${id}.scope`);
  mkdirSync(cgroup);
  const to = ['--to', stage.peer, '--port', PEER_PORT];
  const place = { ...stage.place, cgroup };
  const inside = startGenerator(t, place, 'udp-client', ...to, '--wait');
  await inside.report('ready');
  // Events are taken in ten times a second, by a timer of this same process.
  await new Promise((resolve) => setTimeout(resolve, 200));
  inside.write('\n');
  const { port } = await inside.report('done');
  await inside.success();
  await removeWhenEmpty(cgroup);
  const { flows } = await stage.finish();
  t.match(flowOf(flows, port, inside.pid).identity, {
    cgroupPath: `/${basename(stage.place.cgroup)}/docker-${id}.scope`,
    containerId: id,
    containerRuntime: 'docker',
  });
});
