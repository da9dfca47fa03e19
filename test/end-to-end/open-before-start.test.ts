// Sockets that were open before procflow started belong to the processes that hold them.
import t from 'tap';
import { runGenerator, startGenerator } from '../support/generators.js';
import { startSession, type Stage } from '../support/metering-session.js';
import type { Program, Report } from '../support/program.js';
import { missingRequirement } from '../support/requirements.js';

const skip = missingRequirement();
const TCP = 6;

t.test('the worker that accepted a connection before the start', { skip }, async (t) => {
  let worker: Program | undefined, client: Program | undefined, accepted: Report | undefined;
  const beforeStart = async ({ a, b, pair }: Stage): Promise<void> => {
    const role = ['--workers', 1, '--echo', '--wait'];
    worker = startGenerator(t, a, ['tcp-server', 'early-worker'], ...role);
    const { port } = await worker.report('ready');
    const to = ['--to', pair.a.ipv4, '--port', Number(port), '--octets', 100];
    client = startGenerator(t, b, 'tcp-client', ...to, '--read-echo', '--wait');
    await client.report('ready');
    accepted = await worker.report('accepted');
  };
  const session = await startSession(t, { version: 10, beforeStart });
  for (const program of [worker, client]) program?.write('\n');
  await client?.success();
  await worker?.success();
  const { decoded } = await session.finish();

  const expected = { pid: accepted?.pid, name: 'early-worker' };
  const here = session.pair.a.ipv4;
  const sent = decoded.filter((f) => f.protocol === TCP && f.source === here);
  const received = decoded.filter((f) => f.protocol === TCP && f.destination === here);
  t.match(sent, [{ sourceProcess: expected }]);
  t.match(received, [{ destinationProcess: expected }]);
});

for (const family of ['ipv4', 'ipv6'] as const) {
  t.test(`the process of a socket opened before the start, ${family}`, { skip }, async (t) => {
    const early: { program: Program; ready: Report; isServer: boolean }[] = [];
    const beforeStart = async ({ a, b, pair }: Stage): Promise<void> => {
      for (const kind of ['tcp', 'udp'] as const) {
        const there = startGenerator(t, b, `${kind}-server`);
        const { port } = await there.report('ready');
        const to = ['--to', pair.b[family], '--port', Number(port), '--wait'];
        const options = kind === 'tcp' ? ['--octets', 100] : ['--connected'];
        const name = [`${kind}-client`, `early-${kind}-c`] as const;
        const client = startGenerator(t, a, name, ...to, ...options);
        early.push({ program: client, ready: await client.report('ready'), isServer: false });

        const server = startGenerator(t, a, [`${kind}-server`, `early-${kind}-s`], '--echo');
        early.push({ program: server, ready: await server.report('ready'), isServer: true });
      }
    };
    const session = await startSession(t, { version: 10, beforeStart });
    for (const { program, ready, isServer } of early) {
      if (isServer) {
        const kind = ready.comm.includes('tcp') ? 'tcp-client' : 'udp-client';
        const to = ['--to', session.pair.a[family], '--port', Number(ready.port), '--read-echo'];
        await runGenerator(t, session.b, kind, ...to);
      } else {
        program.write('\n');
      }
      await program.success();
    }
    const { decoded } = await session.finish();

    for (const { ready } of early) {
      const here = session.pair.a[family];
      const sent = decoded.filter((f) => f.source === here && f.sourcePort === ready.port);
      const received = decoded.filter(
        (f) => f.destination === here && f.destinationPort === ready.port,
      );
      t.ok(sent.length + received.length > 0, `${ready.comm}: has flows`);
      const expected = { pid: ready.pid, name: ready.comm };
      for (const flow of sent) t.match(flow.sourceProcess, expected, `${ready.comm}: sends`);
      for (const flow of received) {
        t.match(flow.destinationProcess, expected, `${ready.comm}: receives`);
      }
    }
  });
}
