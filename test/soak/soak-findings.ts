// What must be true after a soak, and whether it was.
import type { Sums } from './received.js';
import type { SoakResult } from './soak.js';

export interface Finding {
  readonly what: string;
  readonly found: string;
  readonly isMet: boolean;
}

/** So much more resident memory at the end than in the beginning is no leak. */
const MEMORY_TOLERANCE = 1.15;
/** Looks at a collector's send queue, a sweep that is under way. */
const DESCRIPTOR_TOLERANCE = 6;
/** Until V8 and libc have the memory that they need. */
const WARM_UP_SHARE = 1 / 4;

export function soakFindings(result: SoakResult): Finding[] {
  const { wire, passing, lost, tcp, udp, usage, left, bpfSeen, losses } = result;
  const kept = minus(wire, lost);
  const all = { packets: kept.packets + passing.packets, octets: kept.octets + passing.octets };
  // Over TCP, what a daemon that is killed has sent may be sent again by the next one.
  const isKilled = result.events.daemonStarts > 1;
  const descriptors = usage.map((each) => each.descriptors);
  const [earlier, later] = [
    Math.max(0, ...descriptors.slice(0, Math.ceil(descriptors.length / 2))),
    Math.max(0, ...descriptors.slice(Math.ceil(descriptors.length / 2))),
  ];
  return [
    sameSums('packets and octets of the wire, over TCP', tcp.wire, kept, isKilled),
    sameSums('of the interfaces that came and went, over TCP', tcp.passing, passing, isKilled),
    sameSums('of all, at nfcapd over UDP', udp, all),
    zero('packets lost in the kernel', lost.packets),
    zero('gaps in the sequence numbers, TCP', tcp.sequenceErrors),
    {
      what: 'other losses in the summary',
      found: losses.join('; ') || 'none',
      isMet: losses.length === 0,
    },
    memoryFinding(usage.map((each) => each.residentKib)),
    {
      what: 'most open descriptors, first and second half',
      found: `${earlier}, ${later}`,
      isMet: later <= earlier + DESCRIPTOR_TOLERANCE,
    },
    {
      what: 'programs, maps and links left in the kernel',
      found: `${left.length} of ${bpfSeen} ${left.join(', ')}`.trim(),
      isMet: left.length === 0 && bpfSeen > 0,
    },
  ];
}

/** Medians, because a sweep may be under way at any look. */
function memoryFinding(residentKib: readonly number[]): Finding {
  const warm = residentKib.slice(Math.floor(residentKib.length * WARM_UP_SHARE));
  const half = Math.ceil(warm.length / 2);
  const [before, after] = [median(warm.slice(0, half)), median(warm.slice(half))];
  return {
    what: 'resident memory, after warming up and at the end',
    found: `${(before / 1024).toFixed(1)} MiB, ${(after / 1024).toFixed(1)} MiB`,
    // Of a short soak all is warming up; a daemon that is killed begins anew each time.
    isMet: residentKib.length < 40 || after <= before * MEMORY_TOLERANCE,
  };
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}

function minus(a: Sums, b: Sums): Sums {
  return { packets: a.packets - b.packets, octets: a.octets - b.octets };
}

function sameSums(what: string, found: Sums, wanted: Sums, mayRepeat = false): Finding {
  const isExact = found.packets === wanted.packets && found.octets === wanted.octets;
  const isEnough = found.packets >= wanted.packets && found.octets >= wanted.octets;
  const text = `${found.packets} packets, ${found.octets} octets`;
  const differs = isExact ? 'exact' : `of ${wanted.packets} packets, ${wanted.octets} octets`;
  return { what, found: `${text}: ${differs}`, isMet: isExact || (mayRepeat && isEnough) };
}

function zero(what: string, count: number): Finding {
  return { what, found: String(count), isMet: count === 0 };
}
