// 100,000 flows where there is room for 1000, and a daemon that stands still meanwhile: cache and ring
// buffer overflow, and each packet is in an exported record or in the counters of what was not kept.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import type { SessionStatistics } from '../../src/daemon/control/meter-control.js';
import { runCtl, temporaryDirectory } from '../support/control.js';
import { unsigned } from '../support/decoder/field-values.js';
import { splitMessages } from '../support/decoder/message-splitter.js';
import { decodeExport } from '../support/exported-messages.js';
import { startGenerator, type Place } from '../support/generators.js';
import { sumFlows } from '../support/metering-session.js';
import {
  bringUp,
  createNamespacePair,
  ETHERNET_OCTETS,
  interfaceCounters,
  introduceStranger,
  takeDown,
  turnOffloadOff,
  type NamespacePair,
} from '../support/network-namespace.js';
import { startNfcapd } from '../support/nfcapd.js';
import { startExport, type Summary } from '../support/procflow.js';
import type { Program, Teardown } from '../support/program.js';
import { missingRequirement } from '../support/requirements.js';
import { createCgroup } from '../support/test-cgroup.js';

const skip = missingRequirement();
const SENDERS = 2;
const FLOWS_EACH = 50_000;
const PACKETS = 2 * SENDERS * FLOWS_EACH;
/** Nobody has it: the peer drops the frames at once and answers none. */
const STRANGER = { ipv4: '10.99.0.99', mac: '02:00:00:00:00:42' };
/** Metering process reliability, without times and with them. */
const RELIABILITY = new Set([268, 269]);

interface Stage {
  readonly t: Teardown;
  readonly pair: NamespacePair;
  readonly place: Place;
}

interface Capture {
  readonly options: readonly string[];
  /** Each sends two packets of each of its flows. */
  readonly send: (stage: Stage, sender: number) => Program;
}

const CAPTURES: Readonly<Record<string, Capture>> = {
  'at an interface': {
    options: [],
    send: ({ t, pair, place }, sender) => {
      const link = ['--interface', pair.a.interfaceName, '--destination-mac', STRANGER.mac];
      const ends = ['--source', pair.a.ipv6, '--to', pair.b.ipv6, '--port', 23 + sender];
      const amount = ['--count', 2 * FLOWS_EACH, '--flows', FLOWS_EACH];
      return startGenerator(t, place, 'frame-sender', ...link, ...ends, ...amount);
    },
  },
  'at sockets': {
    options: ['--capture', 'sockets'],
    send: ({ t, place }) => {
      const to = ['--to', STRANGER.ipv4, '--port', 1024, '--ports', FLOWS_EACH];
      return startGenerator(t, place, 'udp-client', ...to, '--count', 2 * FLOWS_EACH);
    },
  },
};

/** What the collector was told last of packets that were not kept. */
async function toldLosses(path: string): Promise<Sums> {
  const messages: Buffer[] = [];
  for await (const message of splitMessages([readFileSync(path)])) messages.push(message);
  const records = decodeExport(messages, { isStream: true })
    .flatMap((message) => message.records)
    .filter(({ template }) => RELIABILITY.has(template.id));
  const last = records.at(-1)?.fields;
  return { packets: unsigned(last?.get('0/164')), octets: unsigned(last?.get('0/165')) };
}

interface Sums {
  readonly packets: number;
  readonly octets: number;
}

for (const [where, { options, send }] of Object.entries(CAPTURES)) {
  for (const isStopped of [false, true]) {
    const title = `${where}, ${isStopped ? 'a daemon that stands still' : 'a daemon at work'}`;
    t.test(`each of 100,000 flows is accounted for: ${title}`, { skip }, async (t) => {
      const cgroup = createCgroup(t);
      const pair = createNamespacePair(t);
      turnOffloadOff(pair);
      const place = { namespace: pair.a, cgroup };
      const directory = temporaryDirectory(t);
      const [control, file] = ['control', 'flows.ipfix'].map((name) => join(directory, name));
      const collector = await startNfcapd(t);
      const atInterface = options.length === 0;
      const exporter = await startExport(t, {
        ...(atInterface && { namespace: pair.a }),
        interfaces: atInterface ? [pair.a.interfaceName] : [],
        ...{ version: 10, port: collector.port, cgroup },
        options: [
          ...options,
          ...['--max-flows', '1000', '-c', String(control), '-n', `file://${String(file)}`],
        ],
      });
      bringUp(pair);
      introduceStranger(pair.a, STRANGER);

      if (isStopped) process.kill(exporter.program.pid, 'SIGSTOP');
      const senders = Array.from({ length: SENDERS }, (_, i) => send({ t, pair, place }, i));
      const reports = await Promise.all(senders.map((sender) => sender.report('done')));
      if (isStopped) process.kill(exporter.program.pid, 'SIGCONT');
      takeDown(pair);
      const sent = atInterface ? wireSums(pair) : sumReports(reports);
      const answer = JSON.parse(
        (await runCtl('-c', String(control), '--json', 'statistics')).out,
      ) as SessionStatistics;
      const summary = await exporter.stop();
      const received = sumFlows(await collector.stop());
      const lost = lostSums(summary);

      t.ok(sent.packets >= PACKETS, `${sent.packets} packets were sent`);
      t.ok(summary.counter('FLOWS_CREATED') > 1000);
      if (isStopped) {
        t.ok(summary.counter('CACHE_FULL_PACKETS') > 0, 'the cache was full');
        t.ok(lost.packets > 0, 'so was the ring buffer');
      }
      t.equal(summary.packets + lost.packets, sent.packets, 'packets: records and counters');
      t.equal(summary.octets + lost.octets, sent.octets, 'octets: records and counters');
      t.equal(summary.counter('METERED_PACKETS'), sent.packets);
      t.equal(summary.counter('METERED_OCTETS'), sent.octets);
      t.match(received, { packets: summary.packets, octets: summary.octets }, 'nfdump');
      t.same(await toldLosses(String(file)), lost, 'the collector was told');
      const { LOST_PACKETS: packets, LOST_OCTETS: octets } = answer.counters ?? {};
      t.same({ packets, octets }, lost, 'procflow ctl statistics');
      const said = summary.lines.filter((line) =>
        /LOSS: .* packets that were not metered/.test(line),
      );
      t.equal(said.length, lost.packets > 0 ? 1 : 0);
      for (const line of said)
        t.match(line, `${lost.packets} packets that were not metered (${lost.octets} octets)`);
    });
  }
}

/** All that crossed the interface, the kernel's own multicast reports too. */
function wireSums(pair: NamespacePair): Sums {
  const wire = interfaceCounters(pair.a);
  const packets = wire.sentPackets + wire.receivedPackets;
  return { packets, octets: wire.sentOctets + wire.receivedOctets - ETHERNET_OCTETS * packets };
}

function sumReports(reports: readonly Readonly<Record<string, unknown>>[]): Sums {
  const { packets, octets } = sumFlows(
    reports.map((report) => ({ packets: Number(report.packets), octets: Number(report.octets) })),
  );
  return { packets, octets };
}

function lostSums(summary: Summary): Sums {
  return { packets: summary.counter('LOST_PACKETS'), octets: summary.counter('LOST_OCTETS') };
}
