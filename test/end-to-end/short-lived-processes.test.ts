// Processes that live a few milliseconds and workers that share a listening socket: many at once,
// each with its own pid, and no flow may have another's.
import t from 'tap';
import { runGenerator, startGenerator } from '../support/generators.js';
import { startSession } from '../support/metering-session.js';
import type { Report } from '../support/program.js';
import { missingRequirement } from '../support/requirements.js';

const skip = missingRequirement();
const CLIENTS = 200;
const AT_ONCE = 8;

/** Runs `count` of them, some at a time. */
async function runMany(count: number, run: () => Promise<Report>): Promise<readonly Report[]> {
  const reports: Report[] = [];
  const worker = async (): Promise<void> => {
    while (count-- > 0) reports.push(await run());
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  return reports;
}

for (const kind of ['tcp', 'udp'] as const) {
  t.test(`${CLIENTS} ${kind} clients of one packet each are all named`, { skip }, async (t) => {
    const session = await startSession(t, { version: 10 });
    const { a, b, pair } = session;
    const server = startGenerator(t, b, `${kind}-server`, '--count', CLIENTS);
    const { port } = await server.report('ready');
    const to = ['--to', pair.b.ipv6, '--port', Number(port)];
    const reports = await runMany(CLIENTS, () => runGenerator(t, a, `${kind}-client`, ...to));
    await server.success();
    const { decoded } = await session.finish();

    const pidsByPort = new Map<unknown, number[]>();
    for (const { pid, port } of reports) {
      pidsByPort.set(port, [...(pidsByPort.get(port) ?? []), pid]);
    }
    const flows = decoded.filter((flow) => flow.destinationPort === port);
    t.ok(flows.length >= pidsByPort.size, `${flows.length} flows`);
    const wrong = flows.filter(
      // a port that two clients had one after the other is one flow, of either
      (flow) => pidsByPort.get(flow.sourcePort)?.includes(flow.sourceProcess.pid) !== true,
    );
    t.same(wrong, [], 'each has the process that sent it');
    const back = decoded.filter((flow) => flow.sourcePort === port);
    const wrongBack = back.filter(
      (f) => pidsByPort.get(f.destinationPort)?.includes(f.destinationProcess.pid) !== true,
    );
    t.same(wrongBack, [], 'and so has what came back');
  });
}

for (const [title, ...options] of [
  ['the worker that accepted it', '--workers', 4],
  ['the child that was forked for it', '--fork'],
  ['the one process of the server'],
] as const) {
  t.test(`each of many connections belongs to ${title}`, { skip }, async (t) => {
    const session = await startSession(t, { version: 10 });
    const { a, b, pair } = session;
    const role = ['--count', CLIENTS, '--echo', ...options];
    const server = startGenerator(t, a, 'tcp-server', ...role);
    const { port } = await server.report('ready');
    const to = ['--to', pair.a.ipv4, '--port', Number(port), '--octets', 3000, '--read-echo'];
    await Promise.all(
      [1, 2, 3, 4].map(() => runGenerator(t, b, 'tcp-client', ...to, '--connections', CLIENTS / 4)),
    );
    const reports = await server.success();
    const { decoded } = await session.finish();

    const served = reports.filter(({ event }) => event === 'served');
    t.equal(served.length, CLIENTS);
    const pids = new Map(served.map(({ peer_port, pid }) => [peer_port, pid]));
    const out = decoded.filter((flow) => flow.sourcePort === port);
    const wrongOut = out.filter((f) => pids.get(f.destinationPort) !== f.sourceProcess.pid);
    const into = decoded.filter((flow) => flow.destinationPort === port);
    const wrongIn = into.filter((f) => pids.get(f.sourcePort) !== f.destinationProcess.pid);
    t.ok(out.length >= pids.size && into.length >= pids.size, 'both directions are there');
    t.same(wrongOut, [], 'what it sent');
    t.same(wrongIn, [], 'what it received');
  });
}
