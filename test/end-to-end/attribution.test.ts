// Each flow has the process that sent or received it: its pid and its name, known from the
// program itself. Metered on one end of a wire, so each flow has one process of this host.
import t from 'tap';
import type { DecodedFlow, DecodedProcess } from '../support/export-capture.js';
import {
  GENERATORS,
  nameProgram,
  runGenerator,
  startGenerator,
  type Place,
} from '../support/generators.js';
import { startSession, type MeteringSession } from '../support/metering-session.js';
import type { NfdumpFlow } from '../support/nfcapd.js';
import type { Report, Teardown } from '../support/program.js';
import { missingRequirement } from '../support/requirements.js';

const skip = missingRequirement();
const FAMILIES = ['ipv4', 'ipv6'] as const;
type Family = (typeof FAMILIES)[number];

/** Who shall be named on the flows of one conversation. */
interface Truth {
  readonly name: string;
  readonly pid: number;
  readonly comm: string;
  readonly isOf: (flow: DecodedFlow | NfdumpFlow) => boolean;
}

interface Scene {
  readonly t: Teardown;
  /** The metered host, and its peer. */
  readonly here: Place;
  readonly there: Place;
  readonly hereAddress: string;
  readonly thereAddress: string;
  readonly family: Family;
  /** A name for a role that no other case has. */
  readonly comm: (role: string) => string;
}

interface Case {
  readonly name: string;
  readonly run: (scene: Scene) => Promise<Omit<Truth, 'name'>>;
}

/** Both directions of every conversation in which this port of the metered host takes part. */
function ofLocalPort(scene: Scene, protocol: number, port: unknown): Truth['isOf'] {
  return (flow) =>
    flow.protocol === protocol &&
    ((flow.source === scene.hereAddress && flow.sourcePort === port) ||
      (flow.destination === scene.hereAddress && flow.destinationPort === port));
}

/** Packets of a protocol without ports that the metered host sends. */
function sentAs({ hereAddress, thereAddress }: Scene, protocol: number): Truth['isOf'] {
  return (flow) =>
    flow.protocol === protocol && flow.source === hereAddress && flow.destination === thereAddress;
}

const TCP = 6;
const UDP = 17;

function who(report: Report): { pid: number; comm: string } {
  return { pid: report.pid, comm: report.comm };
}

/** A server on the peer, and the arguments that lead to it. */
async function serverThere(
  { t, there, thereAddress }: Scene,
  kind: 'tcp-server' | 'udp-server',
  ...options: string[]
): Promise<readonly (string | number)[]> {
  const server = startGenerator(t, there, kind, ...options);
  const { port } = await server.report('ready');
  return ['--to', thereAddress, '--port', Number(port)];
}

function udpClient(...options: string[]): Case['run'] {
  return async (scene) => {
    const echo = options.includes('--read-echo') ? ['--echo'] : [];
    const to = await serverThere(scene, 'udp-server', ...echo);
    const name = scene.comm('uc');
    const report = await runGenerator(scene.t, scene.here, ['udp-client', name], ...to, ...options);
    return { ...who(report), isOf: ofLocalPort(scene, UDP, report.port) };
  };
}

/** A child sends on what its parent opened and the parent never uses. */
function forkedChild(kind: 'tcp' | 'udp'): Case['run'] {
  return async (scene) => {
    const to = await serverThere(scene, `${kind}-server`);
    const name = scene.comm(`fork-${kind}`);
    const command = ['fork-and-send', name] as const;
    const report = await runGenerator(scene.t, scene.here, command, ...to, `--${kind}`);
    const isOf = ofLocalPort(scene, kind === 'tcp' ? TCP : UDP, report.port);
    return { ...who(report), isOf };
  };
}

/** The program that opens the socket becomes another one, which uses it. */
function execAfterOpen(kind: 'tcp' | 'udp', ...options: string[]): Case['run'] {
  return async (scene) => {
    const to = await serverThere(scene, `${kind}-server`);
    const path = nameProgram(scene.t, `${GENERATORS}/${kind}-client`, scene.comm(`new-${kind}`));
    const opener = ['exec-after-open', scene.comm('opener')] as const;
    const client = kind === 'tcp' ? ['--octets', 10] : [...to, '--connected'];
    const open = [...to, `--${kind}`, ...options, '--', path, ...client];
    const report = await runGenerator(scene.t, scene.here, opener, ...open);
    const isOf = ofLocalPort(scene, kind === 'tcp' ? TCP : UDP, report.port);
    return { ...who(report), isOf };
  };
}

const CASES: readonly Case[] = [
  {
    name: 'a TCP client that connects and exits at once',
    run: async (scene) => {
      const to = await serverThere(scene, 'tcp-server');
      const command = ['tcp-client', scene.comm('tc')] as const;
      const report = await runGenerator(scene.t, scene.here, command, ...to);
      return { ...who(report), isOf: ofLocalPort(scene, TCP, report.port) };
    },
  },
  {
    name: 'a TCP server',
    run: async (scene) => {
      const { t, here, there, hereAddress } = scene;
      const server = startGenerator(t, here, ['tcp-server', scene.comm('ts')], '--echo');
      const ready = await server.report('ready');
      const to = ['--to', hereAddress, '--port', Number(ready.port), '--octets', 5000];
      await runGenerator(t, there, 'tcp-client', ...to, '--read-echo');
      return { ...who(ready), isOf: ofLocalPort(scene, TCP, ready.port) };
    },
  },
  {
    name: 'the worker that a TCP server forked for the connection',
    run: async (scene) => {
      const { t, here, there, hereAddress } = scene;
      const options = ['--echo', '--fork'];
      const server = startGenerator(t, here, ['tcp-server', scene.comm('tsf')], ...options);
      const ready = await server.report('ready');
      const to = ['--to', hereAddress, '--port', Number(ready.port), '--octets', 5000];
      await runGenerator(t, there, 'tcp-client', ...to, '--read-echo');
      await server.success();
      return { ...who(await server.report('served')), isOf: ofLocalPort(scene, TCP, ready.port) };
    },
  },
  { name: 'an unconnected UDP client', run: udpClient('--read-echo') },
  { name: 'a connected UDP client', run: udpClient('--read-echo', '--connected') },
  { name: 'a UDP client that sends one datagram and exits', run: udpClient() },
  {
    name: 'a UDP server that answers many clients from one socket',
    run: async (scene) => {
      const { t, here, there, hereAddress } = scene;
      const options = ['--echo', '--count', '20'];
      const server = startGenerator(t, here, ['udp-server', scene.comm('us')], ...options);
      const ready = await server.report('ready');
      const to = ['--to', hereAddress, '--port', Number(ready.port), '--read-echo'];
      await runGenerator(t, there, 'udp-client', ...to, '--flows', 20);
      return { ...who(ready), isOf: ofLocalPort(scene, UDP, ready.port) };
    },
  },
  { name: 'a child that sends on its parent’s TCP socket', run: forkedChild('tcp') },
  { name: 'a child that sends on its parent’s UDP socket', run: forkedChild('udp') },
  { name: 'a program that got its TCP socket over exec', run: execAfterOpen('tcp') },
  { name: 'a program that got its UDP socket over exec', run: execAfterOpen('udp') },
  {
    name: 'a program that got a TCP socket over exec that had been used before',
    run: execAfterOpen('tcp', '--use-first'),
  },
  {
    name: 'ping through a raw socket',
    run: async (scene) => {
      const command = ['icmp-echo', scene.comm('ping')] as const;
      const to = ['--to', scene.thereAddress, '--count', 3];
      const report = await runGenerator(scene.t, scene.here, command, ...to);
      return { ...who(report), isOf: sentAs(scene, scene.family === 'ipv4' ? 1 : 58) };
    },
  },
  {
    name: 'a raw socket’s own protocol',
    run: async (scene) => {
      const command = ['raw-sender', scene.comm('raw')] as const;
      const to = ['--to', scene.thereAddress, '--protocol', 253];
      const report = await runGenerator(scene.t, scene.here, command, ...to);
      return { ...who(report), isOf: sentAs(scene, 253) };
    },
  },
];

async function converse(t: Teardown, session: MeteringSession): Promise<readonly Truth[]> {
  const truths: Truth[] = [];
  for (const family of FAMILIES) {
    for (const [i, { name, run }] of CASES.entries()) {
      const scene = {
        t,
        here: session.a,
        there: session.b,
        hereAddress: session.pair.a[family],
        thereAddress: session.pair.b[family],
        family,
        comm: (role: string) => `${role}-${family.slice(-1)}${i}`,
      };
      truths.push({ ...(await run(scene)), name: `${name}, ${family}` });
    }
  }
  return truths;
}

/** The process at the end of the flow that the metered host has. */
function localProcess(flow: DecodedFlow, localAddresses: readonly string[]): DecodedProcess {
  return localAddresses.includes(flow.source) ? flow.sourceProcess : flow.destinationProcess;
}

for (const attach of ['tcx', 'clsact']) {
  t.test(`every flow names its process, attached by ${attach}`, { skip }, async (t) => {
    const session = await startSession(t, { version: 10, options: ['--attach', attach] });
    const truths = await converse(t, session);
    const { decoded } = await session.finish();

    const local = [session.pair.a.ipv4, session.pair.a.ipv6];
    for (const { name, pid, comm, isOf } of truths) {
      const found = decoded.filter(isOf).map((flow) => localProcess(flow, local));
      t.ok(found.length > 0, `${name}: has flows`);
      const wrong = found.filter((process) => process.pid !== pid || process.name !== comm);
      t.same(wrong, [], `${name}: is ${comm}, ${pid}`);
    }
  });
}

t.test('nfdump prints the process as the user name', { skip }, async (t) => {
  const session = await startSession(t, { version: 9 });
  const truths = await converse(t, session);
  const { nfdump } = await session.finish();

  for (const { name, comm, isOf } of truths) {
    const found = nfdump.filter(isOf).map((flow) => flow.userName);
    t.ok(found.length > 0, `${name}: has flows`);
    t.same(new Set(found), new Set([comm]), `${name}: is ${comm}`);
  }
});
