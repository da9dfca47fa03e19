// Where memory is measured: a wire of its own, a collector that takes everything, and programs beside it
// whose memory is read.
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { startIn } from '../../test/support/generators.js';
import {
  bringUp,
  createNamespacePair,
  interfaceCounters,
  setOnBoth,
  type Side,
} from '../../test/support/network-namespace.js';
import { NODE, startProcflow } from '../../test/support/procflow.js';
import { startProgram, type Program, type Teardown } from '../../test/support/program.js';
import { PROJECT_ROOT } from '../../test/support/requirements.js';
import { createCgroup } from '../../test/support/test-cgroup.js';
import { introduceNobody } from '../support/nobody.js';
import { mapOctets } from '../support/resources.js';
import { createMemoryCgroup } from './kernel-memory.js';

export interface Stage {
  readonly t: Teardown;
  readonly side: Side;
  readonly cgroup: string;
  /** Of a collector on 127.0.0.1. */
  readonly port: number;
}

/** Octets. */
export interface Memory {
  readonly resident: number;
  /** The most that it has been so far. */
  readonly peak: number;
  /** Shared pages by their part. */
  readonly proportional: number;
  /** Its own, and nobody else's. */
  readonly own: number;
}

export interface KernelMemory {
  /** As the kernel charges it, undefined where it cannot be asked. */
  readonly charged: number | undefined;
  /** As the maps tell it themselves, without what their allocator rounds up. */
  readonly maps: number;
}

export interface MeasuredDaemon {
  readonly program: Program;
  readonly kernel: () => KernelMemory;
  /** Ends it; what it says that does not sum up with the interface. */
  readonly stop: () => Promise<readonly string[]>;
}

export async function openStage(t: Teardown): Promise<Stage> {
  const pair = createNamespacePair(t);
  bringUp(pair);
  setOnBoth(pair, 'net.ipv6.conf.veth0.disable_ipv6=1');
  introduceNobody(pair.a);
  const socket = createSocket('udp4');
  t.teardown(() => {
    socket.close();
  });
  socket.on('message', () => undefined).bind(0, '127.0.0.1');
  await once(socket, 'listening');
  return { t, side: pair.a, cgroup: createCgroup(t), port: socket.address().port };
}

/** Resolves once it meters. */
export async function startDaemon(
  stage: Stage,
  options: readonly string[],
): Promise<MeasuredDaemon> {
  const { t, side, cgroup, port } = stage;
  const memory = createMemoryCgroup(t);
  const where = ['-i', side.interfaceName, '--netns', side.name, '--cgroup', cgroup];
  const to = ['-n', `127.0.0.1:${port}`, '-v', '10'];
  const before = interfaceCounters(side);
  const program = startProcflow(t, ['export', ...where, ...to, ...options]);
  memory?.add(program.pid);
  await program.line('err', /^procflow: metering/);
  return {
    program,
    kernel: () => ({ charged: memory?.kernelOctets(), maps: mapOctets(program.pid) }),
    stop: async () => {
      const { sentPackets, droppedPackets } = interfaceCounters(side);
      await program.stop('SIGTERM');
      return differences(program.err, sentPackets + droppedPackets - before.sentPackets);
    },
  };
}

function differences(lines: readonly string[], onWire: number): string[] {
  const metered = Number(/(\d+) packets/.exec(lines.join('\n'))?.[1] ?? NaN);
  return metered === onWire ? [] : [`${metered} packets metered, ${onWire} on the wire`];
}

export async function startEmptyNode(t: Teardown, modules = ''): Promise<Program> {
  const [command, ...before] = NODE;
  const script = `${modules}process.stdout.write('running\\n'); setInterval(() => undefined, 1000);`;
  const program = startProgram(t, command, [...before, '-e', script]);
  await program.line('out', /^running$/);
  return program;
}

export const KOFFI = `require(${JSON.stringify(join(PROJECT_ROOT, 'node_modules/koffi'))});`;

/** In the foreground; NetFlow v9 to a collector that is not there. */
export async function startSoftflowd({ t, side }: Stage, maxFlows: number): Promise<Program> {
  const args = ['-d', '-i', side.interfaceName, '-n', '127.0.0.1:9', '-v', '9', '-c', 'none'];
  const flows = ['-m', String(maxFlows), '-t', 'maxlife=60', '-t', 'udp=15'];
  const program = startIn(t, { namespace: side }, 'softflowd', ...args, ...flows);
  await program.line('err', /Starting data collection|Exporting flows/);
  return program;
}

export function memoryOf({ pid }: Program): Memory {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
  const octets = (text: string, name: string): number =>
    Number(new RegExp(`^${name}:\\s*(\\d+) kB$`, 'm').exec(text)?.[1] ?? NaN) * 1024;
  return {
    resident: octets(status, 'VmRSS'),
    peak: octets(status, 'VmHWM'),
    proportional: octets(rollup, 'Pss'),
    own: octets(rollup, 'Private_Clean') + octets(rollup, 'Private_Dirty'),
  };
}
