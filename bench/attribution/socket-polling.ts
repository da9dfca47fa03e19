// The older way to find the process of a flow: look at the table of sockets once a second, as ss, lsof
// or netstat show it, and join it with the flows by addresses and ports. Written in favour of polling:
// sockets that are not connected are listed too and found by their local port, and the last look before
// the flow's first packet and the first one after its last still count.
import { startIn } from '../../test/support/generators.js';
import type { Namespace } from '../../test/support/network-namespace.js';
import type { Teardown } from '../../test/support/program.js';
import type { WireFlow } from './wire-flows.js';

const PROTOCOLS: Readonly<Record<string, number>> = { tcp: 6, udp: 17 };

interface SeenSocket {
  readonly atMs: number;
  readonly pid: number;
}

/** Sockets by "protocol local:port peer:port". */
type Seen = Map<string, SeenSocket[]>;

interface Looks {
  readonly timesMs: readonly number[];
  readonly seen: Seen;
}

/** Which process the polling gives a flow; undefined: none. */
export type PolledProcess = (flow: WireFlow, isSent: boolean) => number | undefined;

/** @returns ends the polling */
export async function pollSockets(
  t: Teardown,
  namespace: Namespace,
): Promise<() => Promise<PolledProcess>> {
  const look = 'while :; do echo "at $(date +%s%3N)"; ss -Hatunp; sleep 1; done';
  const poller = startIn(t, { namespace }, 'sh', '-c', look);
  await poller.line('out', /^at/);
  return async () => {
    await poller.stop('SIGTERM');
    const looks = readTables(poller.out);
    return (flow, isSent) => findProcess(looks, flow, isSent);
  };
}

function readTables(lines: readonly string[]): Looks {
  const timesMs: number[] = [];
  const seen: Seen = new Map();
  let atMs = 0;
  for (const line of lines) {
    if (line.startsWith('at ')) {
      atMs = Number(line.slice(3));
      timesMs.push(atMs);
      continue;
    }
    // protocol state receive-queue send-queue local peer users:(("name",pid=1,fd=3),...)
    const [protocol = '', , , , local = '', peer = '', users = ''] = line.trim().split(/\s+/);
    // Where several processes have the socket, nothing tells which one uses it.
    const pid = /pid=(\d+)/.exec(users)?.[1];
    if (pid === undefined) continue;
    const key = `${PROTOCOLS[protocol] ?? protocol} ${plain(local)} ${plain(peer)}`;
    seen.set(key, [...(seen.get(key) ?? []), { atMs, pid: Number(pid) }]);
  }
  return { timesMs, seen };
}

/** Without the interface or the IPv6 notation that ss adds to an IPv4 address. */
function plain(address: string): string {
  return address.replace(/%[^:]+/, '').replace(/^\[::ffff:([\d.]+)\]/, '$1');
}

function findProcess(looks: Looks, flow: WireFlow, isSent: boolean): number | undefined {
  const fromMs = looks.timesMs.findLast((ms) => ms <= flow.firstMs) ?? 0;
  const toMs = looks.timesMs.find((ms) => ms >= flow.lastMs) ?? Infinity;
  const source = { address: flow.source, port: flow.sourcePort };
  const destination = { address: flow.destination, port: flow.destinationPort };
  const [local, peer] = isSent ? [source, destination] : [destination, source];
  const connected = `${local.address}:${local.port} ${peer.address}:${peer.port}`;
  const bound = ['0.0.0.0', '*', '[::]', local.address].flatMap((address) =>
    ['0.0.0.0:*', '*:*', '[::]:*'].map((any) => `${address}:${local.port} ${any}`),
  );
  const keys = flow.protocol === PROTOCOLS.udp ? [connected, ...bound] : [connected];
  for (const key of keys) {
    const match = looks.seen
      .get(`${flow.protocol} ${key}`)
      ?.find(({ atMs }) => atMs >= fromMs && atMs <= toMs);
    if (match !== undefined) return match.pid;
  }
  return undefined;
}
