// The stage of the table: a metered host and its peer, joined by a wire, with addresses of its own
// for each case, counters of nftables on the wire, and procflow on the metered host.
import { execFileSync } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';
import type { Place } from '../support/generators.js';
import {
  bringUp,
  createNamespacePair,
  takeDown,
  turnOffloadOff,
  type NamespacePair,
  type Side,
} from '../support/network-namespace.js';
import type { Teardown } from '../support/program.js';
import { createCgroup } from '../support/test-cgroup.js';
import { type Case, type Family, type Scene } from './case.js';
import { startMeters, type Capture, type ExportedFlow, type Meter } from './meters.js';
import {
  countArrivals,
  countSocketless,
  readArrivals,
  readSocketless,
  type PairCounts,
} from './wire-counters.js';

/** What the numbers of cases may be: they stand in one octet of an address. */
const MOST_CASES = 250;

export interface Stage {
  /** The scene of the case with this number, from 1 on. */
  readonly scene: (number: number, family: Family) => Scene;
  /** Resolves when the case has called scene.metering(). */
  readonly isWaiting: (number: number, family: Family) => Promise<void>;
  readonly startMetering: () => Promise<void>;
  /** Waits until the wire is silent, takes it down, ends procflow. */
  readonly finish: () => Promise<StageResult>;
}

export interface StageResult {
  readonly exports: readonly {
    readonly meter: Meter['name'];
    readonly flows: readonly ExportedFlow[];
  }[];
  readonly wire: PairCounts;
  /** What of it may have had no socket of a process at the metered host. */
  readonly socketless: PairCounts;
}

type Addresses = Readonly<
  Record<'here' | 'there' | 'otherThere' | 'loopback', Readonly<Record<Family, string>>>
>;

function addressesOf(number: number): Addresses {
  const net = (host: number): Record<Family, string> => ({
    ipv4: `10.99.${number}.${host}`,
    ipv6: `fd99:${number.toString(16)}::${host}`,
  });
  const loopback = { ipv4: `127.0.${number}.1`, ipv6: `fd98:${number.toString(16)}::1` };
  return { here: net(1), there: net(2), otherThere: net(3), loopback };
}

/** The number of the case whose address it is; undefined where no case has it. */
export function caseNumberOf(address: string): number | undefined {
  const ipv4 = /^(?:10\.99|127\.0)\.(\d+)\.\d+$/.exec(address)?.[1];
  const ipv6 = /^fd9[89]:([0-9a-f]+)::/.exec(address)?.[1];
  const number = ipv4 !== undefined ? Number(ipv4) : parseInt(ipv6 ?? '0', 16);
  return number === 0 ? undefined : number;
}

function isHere(address: string): boolean {
  return caseNumberOf(address) !== undefined && /\D1$/.test(address);
}

/** `ip -batch` lines that give this end of the wire its addresses of a case, and its neighbours. */
function addressLines(pair: NamespacePair, side: Side, addresses: Addresses): readonly string[] {
  const isMetered = side === pair.a;
  const peer = isMetered ? pair.b : pair.a;
  const { here, there, otherThere, loopback } = addresses;
  const device = `dev ${side.interfaceName}`;
  const lines: string[] = [];
  for (const [own, lifetime] of [
    [isMetered ? here : there, 'preferred_lft forever'],
    // deprecated: never chosen as a source
    ...(isMetered ? [] : ([[otherThere, 'preferred_lft 0']] as const)),
  ] as const) {
    lines.push(`addr add ${own.ipv4}/24 broadcast + ${device}`);
    lines.push(`addr add ${own.ipv6}/64 ${device} nodad valid_lft forever ${lifetime}`);
  }
  if (isMetered) lines.push(`addr add ${loopback.ipv4}/32 dev lo`);
  if (isMetered) lines.push(`addr add ${loopback.ipv6}/128 dev lo`);
  for (const { ipv4, ipv6 } of isMetered ? [there, otherThere] : [here]) {
    for (const address of [ipv4, ipv6]) {
      lines.push(`neigh replace ${address} lladdr ${peer.mac} ${device} nud permanent`);
    }
  }
  return lines;
}

function addAddresses(pair: NamespacePair, cases: number): void {
  for (const side of [pair.a, pair.b]) {
    const lines: string[] = [];
    for (let number = 1; number <= cases; number++) {
      lines.push(...addressLines(pair, side, addressesOf(number)));
    }
    const input = `${lines.join('\n')}\n`;
    execFileSync('ip', ['-n', side.name, '-batch', '-'], {
      input,
      stdio: ['pipe', 'pipe', 'inherit'],
    });
  }
}

/** Something that happens once and can be awaited. */
interface Occurrence {
  readonly happened: Promise<void>;
  readonly happen: () => void;
}

function occurrence(): Occurrence {
  let happen = (): void => undefined;
  const happened = new Promise<void>((resolve) => {
    happen = resolve;
  });
  return { happened, happen };
}

/** Packets that are still under way, and acknowledgements that are held back, arrive. */
async function awaitSilence(read: () => PairCounts): Promise<void> {
  let before = '';
  for (;;) {
    const now = JSON.stringify([...read()]);
    if (now === before) return;
    before = now;
    await delay(250);
  }
}

/** Makes the stage; nothing is metered yet. */
export function makeStage(t: Teardown, cases: readonly Case[], capture: Capture): Stage {
  if (cases.length > MOST_CASES) throw new Error(`more than ${MOST_CASES} cases`);
  const [cgroup, otherCgroup] = [createCgroup(t), createCgroup(t)];
  const pair = createNamespacePair(t);
  turnOffloadOff(pair);
  bringUp(pair);
  addAddresses(pair, cases.length);
  const here: Place = { namespace: pair.a, cgroup };
  const there: Place = { namespace: pair.b, cgroup: otherCgroup };

  const metering = occurrence();
  const waiting = new Map<string, Occurrence>();
  const waitingOf = (number: number, family: Family): Occurrence => {
    const key = `${number} ${family}`;
    const known = waiting.get(key) ?? occurrence();
    waiting.set(key, known);
    return known;
  };
  let meters: readonly Meter[] = [];

  return {
    scene: (number, family) => {
      const addresses = addressesOf(number);
      return {
        t,
        family,
        here,
        there,
        hereAddress: addresses.here[family],
        thereAddress: addresses.there[family],
        otherThereAddress: addresses.otherThere[family],
        loopbackAddress: addresses.loopback[family],
        interfaceName: pair.a.interfaceName,
        comm: (role) => `${role}-${family.slice(-1)}${number}`,
        metering: () => {
          waitingOf(number, family).happen();
          return metering.happened;
        },
        record: async (pattern) => {
          const live = meters.find(({ name }) => name === 'live');
          await live?.program.line('out', pattern);
        },
      };
    },
    isWaiting: (number, family) => waitingOf(number, family).happened,
    async startMetering() {
      countArrivals(pair.a, pair.a.interfaceName, true);
      countArrivals(pair.b, pair.b.interfaceName, false);
      countSocketless(pair.a);
      const interfaces = [pair.a.interfaceName, 'lo'];
      meters = await startMeters(t, { capture, namespace: pair.a, interfaces, cgroup, isHere });
      metering.happen();
    },
    async finish() {
      await awaitSilence(() => readArrivals([pair.a, pair.b]));
      takeDown(pair);
      const wire = readArrivals([pair.a, pair.b]);
      const socketless = readSocketless(pair.a);
      const exports = [];
      for (const { name: meter, stop } of meters) exports.push({ meter, flows: await stop() });
      return { exports, wire, socketless };
    },
  };
}
