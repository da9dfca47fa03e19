// procflow export -r: collectors get the flows of a capture file with the capture's times, in every
// format, and nothing is lost on the way.
import { join } from 'node:path';
import t from 'tap';
import { pcapFile } from '../support/capture-writer.js';
import { startNfcapd, type Nfcapd } from '../support/nfcapd.js';
import { ethernet, ipv4, udp } from '../support/packet-bytes.js';
import { runProcflow } from '../support/procflow.js';
import { writeTemporary } from '../support/replay-lab.js';
import { missingRequirement, PROJECT_ROOT } from '../support/requirements.js';
import { tsharkFlowsOf, type ExpectedFlow } from '../support/tshark-frames.js';

const skip = missingRequirement();
const CAPTURES = join(PROJECT_ROOT, 'test/captures/ipfixprobe');

/** Flows of the same addresses, and ports where there are some, put together. */
class Sums {
  readonly #flows = new Map<string, ExpectedFlow>();

  add(key: string, flow: ExpectedFlow): void {
    const sum = this.#flows.get(key);
    this.#flows.set(key, {
      packets: flow.packets + (sum?.packets ?? 0),
      octets: flow.octets + (sum?.octets ?? 0),
      startMs: Math.min(flow.startMs, sum?.startMs ?? Infinity),
      endMs: Math.max(flow.endMs, sum?.endMs ?? 0),
    });
  }

  get sorted(): Record<string, ExpectedFlow> {
    return Object.fromEntries([...this.#flows].sort(([a], [b]) => (a < b ? -1 : 1)));
  }
}

/** ICMP has no ports: what collectors show in their place differs. */
function keyOf(protocol: number, source: string, destination: string, ports: string): string {
  const hasPorts = protocol === 6 || protocol === 17;
  return `${protocol} ${source} -> ${destination}${hasPorts ? ` ${ports}` : ''}`;
}

function expectedSums(path: string, isV4Only: boolean): Record<string, ExpectedFlow> {
  const sums = new Sums();
  for (const [key, flow] of tsharkFlowsOf(path)) {
    const [protocol, source = '', sourcePort, , destination = '', port] = key.split(' ');
    if (isV4Only && source.includes(':')) continue;
    sums.add(keyOf(Number(protocol), source, destination, `${sourcePort} ${port}`), flow);
  }
  return sums.sorted;
}

function nfdumpSums(nfcapd: Nfcapd): Record<string, ExpectedFlow> {
  const sums = new Sums();
  const format = 'fmt:%pr;%sa;%da;%sp;%dp;%pkt;%byt;%ts;%te';
  for (const line of nfcapd.nfdump('-q', '-N', '-6', '-o', format).split('\n')) {
    if (!line.includes(';')) continue;
    const words = line.split(';').map((word) => word.trim());
    const [protocol, source = '', destination = '', sourcePort, port, ...rest] = words;
    const [packets, octets, start = '', end = ''] = rest;
    sums.add(keyOf(Number(protocol), source, destination, `${sourcePort} ${port}`), {
      packets: Number(packets),
      octets: Number(octets),
      // Local time, as this process has it.
      startMs: Date.parse(start.replace(' ', 'T')),
      endMs: Date.parse(end.replace(' ', 'T')),
    });
  }
  return sums.sorted;
}

/** Those with IPv6, long pauses, another link type, and leaps of years. */
const CAPTURE_NAMES = ['mixed', 'bstats', 'mqtt', 'tls', 'wg'] as const;

for (const version of ['5', '9', '10']) {
  for (const name of CAPTURE_NAMES) {
    t.test(`nfdump shows ${name} as tshark, from version ${version}`, { skip }, async (t) => {
      const path = join(CAPTURES, `${name}.pcap`);
      const nfcapd = await startNfcapd(t);
      const to = ['-n', `127.0.0.1:${nfcapd.port}`, '-v', version];
      const { err, end } = await runProcflow(t, ['export', '-r', path, ...to]);
      t.equal(end.code, 0, err);
      await nfcapd.stop();
      t.same(nfdumpSums(nfcapd), expectedSums(path, version === '5'));
      // Of IPFIX nfcapd does not count options data, and reports a gap behind it.
      const sequence = version === '10' ? {} : { sequenceErrors: 0 };
      t.match(nfcapd.totals(), { ...sequence, badPackets: 0 });
    });
  }
}

t.test('a collector on this host loses none of many flows', { skip }, async (t) => {
  const FLOWS = 40_000;
  const frames = Array.from({ length: FLOWS }, (_, i) => ({
    bytes: ethernet('ipv4', ipv4({ protocol: 17 }, udp(10, [1000 + (i % 50_000), 53]))),
    seconds: 1_700_000_000,
    nanoseconds: 1000 * i,
  }));
  const path = writeTemporary(t, pcapFile(frames));
  const nfcapd = await startNfcapd(t);
  const to = ['-n', `127.0.0.1:${nfcapd.port}`, '-v', '9'];
  const { err, end } = await runProcflow(t, ['export', '-r', path, ...to]);
  t.equal(end.code, 0, err);
  t.match(err, 'nothing was lost');
  const flows = await nfcapd.stop();
  t.equal(flows.length, FLOWS);
  t.match(nfcapd.totals(), { packets: FLOWS, sequenceErrors: 0 });
});

t.test('a slow pace is waited for to the end', { skip }, async (t) => {
  const FLOWS = 600;
  const frames = Array.from({ length: FLOWS }, (_, i) => ({
    bytes: ethernet('ipv4', ipv4({ protocol: 17 }, udp(10, [1000 + i, 53]))),
    seconds: 1_700_000_000,
    nanoseconds: 0,
  }));
  const path = writeTemporary(t, pcapFile(frames));
  const nfcapd = await startNfcapd(t);
  // Some 90 messages, the first 32 at once: more than the backlog has room for, and longer than an
  // exporter waits at its end.
  const to = ['-n', `127.0.0.1:${nfcapd.port}?rate=10&backlog=64K`, '-v', '9'];
  const { err, end } = await runProcflow(t, ['export', '-r', path, ...to]);
  t.equal(end.code, 0, err);
  t.match(err, 'nothing was lost');
  t.equal((await nfcapd.stop()).length, FLOWS);
});
