// How the processes of a session's flows were found, as a line of its summary.
import type { MeterSummary } from '../daemon/meter-session.js';
import { ATTRIBUTION_METHOD, type UNKNOWN_REASON } from '../flow/flow-contract.gen.js';

type Attribution = MeterSummary['attribution'];

/** What an operator can look for. */
const REASONS: Readonly<Record<keyof typeof UNKNOWN_REASON, string>> = {
  REASON_NONE: 'reason not given',
  REASON_NO_SOCKET: 'no socket',
  REASON_NO_OWNER: 'socket without owner',
  REASON_OWNER_CHANGING: 'owner changing',
  REASON_FRAGMENT: 'fragment without its first one',
  REASON_SHARED: 'several processes on a socket',
};

/** The contract's order is best first, but for those that were not found at all. */
const METHODS: readonly (keyof Attribution['methods'])[] = [
  ...(Object.keys(ATTRIBUTION_METHOD) as (keyof typeof ATTRIBUTION_METHOD)[]).filter(
    (name): boolean => name !== 'ATTRIBUTION_UNKNOWN',
  ),
  'ATTRIBUTION_UNKNOWN',
];

/** Nothing where there was no flow. */
export function attributionLines({ methods, unknownPackets }: Attribution): string[] {
  const total = Object.values(methods).reduce((sum, { packets }) => sum + packets, 0);
  const parts = METHODS.flatMap((name) => {
    const count = methods[name];
    if (count === undefined) return [];
    const method = name.replace('ATTRIBUTION_', '').replaceAll('_', '-').toLowerCase();
    const { packets, records } = count;
    const share = `${percent(packets, total)} %`;
    const why = name === 'ATTRIBUTION_UNKNOWN' ? `: ${reasonText(unknownPackets)}` : '';
    return [`${method} ${packets} packets in ${records} records (${share}${why})`];
  });
  return parts.length === 0 ? [] : [`attribution: ${parts.join(', ')}`];
}

/** The most frequent first: it is where to begin. */
function reasonText(unknownPackets: Attribution['unknownPackets']): string {
  return (Object.entries(unknownPackets) as [keyof typeof REASONS, number][])
    .sort(([, a], [, b]) => b - a)
    .map(([name, packets]) => `${REASONS[name]} ${packets}`)
    .join(', ');
}

/** Rounded down, so that 100.0 is all of them. */
function percent(part: number, whole: number): string {
  return whole === 0 ? '0.0' : (Math.floor((part / whole) * 1000) / 10).toFixed(1);
}
