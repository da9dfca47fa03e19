// procflow as somebody without root's rights: with capabilities from the beginning, or dropped by itself.
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, chownSync, cpSync, existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { temporaryDirectory } from './control.js';
import { decodeExport } from './exported-messages.js';
import { runGenerator, startGenerator, startIn, type Place } from './generators.js';
import { createNamespace, type Side } from './network-namespace.js';
import { PROCFLOW } from './procflow.js';
import type { Program, Teardown } from './program.js';
import { decodedFlows } from './stream-flows.js';
import { PROJECT_ROOT } from './requirements.js';
import { createCgroup } from './test-cgroup.js';

/** Of "nobody" and "daemon" in Debian's base-passwd. */
export const NOBODY = { name: 'nobody', uid: 65534, gid: 65534 } as const;
export const DAEMON = { name: 'daemon', uid: 1, gid: 1 } as const;

export const NEEDED_CAPABILITIES = ['bpf', 'perfmon', 'net_admin'] as const;

export interface UserIds {
  readonly uid: number;
  readonly gid: number;
}

/** A program run as this user, with these capabilities alone. */
export function asUser({ uid, gid }: UserIds, capabilities: readonly string[] = []): string[] {
  const set = ['-all', ...capabilities.map((name) => `+${name}`)].join(',');
  const ids = ['--reuid', String(uid), '--regid', String(gid), '--clear-groups'];
  const sets = ['--inh-caps', '--ambient-caps', '--bounding-set'].map((kind) => `${kind}=${set}`);
  return ['setpriv', ...ids, ...sets];
}

/** What procflow is made of where it runs. */
const PARTS = [
  ...['bin', 'build/src', 'build/bpf', 'package.json', 'node_modules/commander'],
  ...['node_modules/koffi', 'node_modules/@koromix', 'node_modules/buffer-layout'],
];

/** The checkout and node as they are, or copies: they can be below somebody's home directory. */
export function reachableProcflow(t: Teardown, user: UserIds): readonly string[] {
  const [command, ...args] = [...asUser(user), ...PROCFLOW, '--version'];
  if (spawnSync(command, args).status === 0) return PROCFLOW;
  const directory = temporaryDirectory(t);
  open(directory);
  for (const part of PARTS.filter((name) => existsSync(join(PROJECT_ROOT, name)))) {
    cpSync(join(PROJECT_ROOT, part), join(directory, part), { recursive: true });
  }
  cpSync(process.execPath, join(directory, 'node'));
  execFileSync('chmod', ['-R', 'a+rX', directory]);
  return ['env', '-u', 'NODE_OPTIONS', join(directory, 'node'), join(directory, 'bin/procflow')];
}

export interface UserStage {
  readonly place: Place;
  readonly cgroup: string;
  /** The user's own. */
  readonly directory: string;
}

/** A namespace with a loopback interface, a cgroup, and a directory of the user's. */
export function createUserStage(t: Teardown): UserStage {
  const namespace = createNamespace(t);
  const cgroup = createCgroup(t);
  const directory = temporaryDirectory(t);
  chownSync(directory, NOBODY.uid, NOBODY.gid);
  return { place: { namespace, cgroup }, cgroup, directory };
}

export interface UserExport {
  readonly program: Program;
  /** Ends it, and reads what it has written: "packets source > destination" of each flow to the port. */
  readonly stop: () => Promise<(port: number) => readonly string[]>;
}

/**
 * Exports into a file in the user's directory; resolves once it meters.
 * @param options as: with the three capabilities; default: root
 */
export async function startUserExport(
  t: Teardown,
  { place, cgroup, directory }: UserStage,
  { as, options }: { readonly as?: UserIds; readonly options: readonly string[] },
): Promise<UserExport> {
  const path = join(directory, 'flows.ipfix');
  const to = ['-n', `file://${path}?version=10`, '--cgroup', cgroup];
  const procflow =
    as === undefined ? PROCFLOW : [...asUser(as, NEEDED_CAPABILITIES), ...reachableProcflow(t, as)];
  const [command = '', ...args] = [...procflow, 'export', ...options, ...to];
  const program = startIn(t, { namespace: place.namespace }, command, ...args);
  await program.line('err', /^procflow: metering/);
  return {
    program,
    stop: async () => {
      const { code } = await program.stop();
      if (code !== 0) throw new Error(program.err.join('\n'));
      const flows = decodedFlows(decodeExport(messagesOf(path), { isStream: true }));
      return (port) =>
        flows
          .filter((flow) => flow.destinationPort === port)
          .map(
            ({ packets, sourceProcess = '', destinationProcess = '' }) =>
              `${packets} ${named(sourceProcess)} > ${named(destinationProcess)}`,
          );
    },
  };
}

/** "pid name" without the pid. */
function named(process: string): string {
  return process.replace(/^\d+ /, '');
}

function messagesOf(path: string): Buffer[] {
  const octets = readFileSync(path);
  const messages: Buffer[] = [];
  // RFC 7011 §3.1: version, length.
  for (let at = 0; at < octets.length; at += octets.readUInt16BE(at + 2)) {
    messages.push(octets.subarray(at, at + octets.readUInt16BE(at + 2)));
  }
  return messages;
}

/** Datagrams over loopback. @returns the port they went to */
export async function talk(t: Teardown, place: Place, packets: number): Promise<number> {
  const server = startGenerator(t, place, ['udp-server', 'user-server'], '--count', packets);
  const port = Number((await server.report('ready')).port);
  const to = ['--to', '127.0.0.1', '--port', port, '--count', packets];
  await runGenerator(t, place, ['udp-client', 'user-client'], ...to);
  await server.success();
  return port;
}

/** An interface that appears in the namespace, with another at its other end. */
export function addInterface({ namespace }: Place, name: string): Side {
  const peer = ['type', 'veth', 'peer', 'name', `${name}-peer`];
  execFileSync('ip', ['-n', namespace.name, 'link', 'add', name, ...peer]);
  return { ...namespace, interfaceName: name, mac: '', ipv4: '', ipv6: '' };
}

/** Lets others look for what is in a directory. */
export function open(directory: string): void {
  chmodSync(directory, 0o755);
}

/** Effective capabilities of each thread, as hexadecimal numbers without zeros in front. */
export function threadCapabilities({ pid }: Program): string[] {
  const script = `cat /proc/${pid}/task/*/status`;
  const text = execFileSync('sh', ['-c', script], { encoding: 'utf8' });
  return [...text.matchAll(/^CapEff:\s*0*([0-9a-f]+)$/gm)].map(([, bits = '']) => bits);
}
