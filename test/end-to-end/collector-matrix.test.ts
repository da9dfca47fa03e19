// One stream of real flows, metered once and exported in every format, profile and transport at the
// same time: our decoder, nfdump, tshark and nfacctd read the same flows, counters and times.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { meterMatrix, type Format } from '../support/collector-matrix.js';
import { sequenceGaps } from '../support/decoder/sequence-check.js';
import { exportedBiflows } from '../support/biflow-records.js';
import type { Conversation } from '../support/matrix-traffic.js';
import { sumFlows } from '../support/metering-session.js';
import { tshark, tsharkComplaints, writePcap } from '../support/pcap.js';
import type { Teardown } from '../support/program.js';
import { missingRequirement } from '../support/requirements.js';
import {
  decodedFlows,
  flowLines,
  flowTimesNs,
  fromNfacctd,
  type FlowPart,
  type StreamFlow,
} from '../support/stream-flows.js';
import { tsharkFlows } from '../support/tshark-flows.js';

const skip = missingRequirement('nfacctd');
const NTP_UNIT_NS = { microseconds: 1000n, nanoseconds: 1n } as const;

function isIpv4({ source }: StreamFlow): boolean {
  return !source.includes(':');
}

/** What a format can tell of these flows. */
function told(flows: readonly StreamFlow[], { version }: Format): readonly StreamFlow[] {
  return version === 1 || version === 5 ? flows.filter(isIpv4) : flows;
}

/** "udp" and the address, without the port that is another one each time. */
function transportOf(destination: string): string {
  const [scheme = '', place = ''] = destination.split('://');
  return scheme === 'udp' ? `UDP to ${place.replace(/:\d+$/, '')}` : scheme;
}

/** "Jan  2, 2024 04:04:04.249999999 UTC" */
function nanoseconds(time: string): bigint {
  const [seconds = '', fraction = ''] = time.replace(' UTC', '').split('.');
  return BigInt(Date.parse(`${seconds} UTC`)) * 1_000_000n + BigInt(fraction.padEnd(9, '0'));
}

function capturePath(t: Teardown, messages: readonly Buffer[]): string {
  const directory = mkdtempSync(join(tmpdir(), 'procflow-matrix-'));
  t.teardown(() => {
    rmSync(directory, { recursive: true });
  });
  const path = join(directory, 'export.pcap');
  writePcap(path, messages);
  return path;
}

/** Whether it is a client's side of these connections. */
function isAskedBy(flow: StreamFlow, { protocol, address, port }: Conversation): boolean {
  return (
    flow.protocol === protocol && flow.destination === address && flow.destinationPort === port
  );
}

t.test('one stream of real flows reaches every reader as it was metered', { skip }, async (t) => {
  const matrix = await meterMatrix(t);
  const { summary, conversations, streams } = matrix;
  const [truth] = streams;
  const flows = decodedFlows(truth?.decoded ?? []);
  const expected = (format: Format, ...left: readonly FlowPart[]): string[] =>
    flowLines(
      told(flows, format),
      format.parts.filter((part) => !left.includes(part)),
    );

  await t.test('the flows are those of the summary, and of the programs', async (t) => {
    const { records, packets, octets } = summary;
    t.same(sumFlows(flows), { flows: records, packets, octets });
    for (const conversation of conversations) {
      const { client, server, isLoopback, kind, address } = conversation;
      const asked = flows.filter((flow) => isAskedBy(flow, conversation));
      const processes = { sourceProcess: client, destinationProcess: isLoopback ? server : '0 ' };
      t.ok(asked.length > 0, `${kind} to ${address}`);
      for (const flow of asked) t.match(flow, processes, `${kind} to ${address}`);
    }
    const protocols = new Set(flows.map((flow) => `${flow.protocol} ${isIpv4(flow)}`));
    for (const kind of ['1 true', '6 true', '17 true', '58 false', '6 false', '17 false']) {
      t.ok(protocols.has(kind), kind);
    }
  });

  for (const { format, destination, messages, decoded, file } of streams) {
    const title = `${format.name} over ${transportOf(destination)}`;
    await t.test(`our decoder and tshark read ${title}`, async (t) => {
      t.same(sequenceGaps(decoded), [], 'no gap');
      t.same(flowLines(decodedFlows(decoded), format.parts), expected(format));
      const path = file ?? capturePath(t, messages);
      t.equal(tsharkComplaints(path), '', 'tshark has nothing to complain of');
      t.same(flowLines(tsharkFlows(path), format.parts), expected(format), 'tshark');
    });
  }

  for (const { format, flows, totals, drops } of matrix.nfcapd) {
    await t.test(`nfdump reads ${format.name}`, async (t) => {
      // No element of IPFIX has a place for it.
      const left: readonly FlowPart[] =
        format.version === 10 ? ['processes', 'localName'] : ['processes'];
      const parts = format.parts.filter((part) => !left.includes(part));
      t.same(flowLines(flows, parts), expected(format, ...left));
      t.match(totals, { ...sumFlows(flows), sequenceErrors: 0, badPackets: 0 });
      t.equal(drops, 0);
    });
  }

  for (const { format, flows: rows, complaints } of matrix.nfacctd) {
    await t.test(`nfacctd reads ${format.name}`, async (t) => {
      // It knows whole seconds of v5 and v9, and only those names that its configuration has.
      const left: readonly FlowPart[] =
        format.version === 10 ? ['localName'] : ['times', 'localName'];
      const parts = format.parts.filter((part) => !left.includes(part));
      t.same(flowLines(rows.flatMap(fromNfacctd), parts), expected(format, ...left));
      t.same(complaints, []);
    });
  }

  for (const precision of ['microseconds', 'nanoseconds'] as const) {
    await t.test(`our decoder and tshark read the same ${precision}`, async (t) => {
      const { decoded, messages } = matrix[precision];
      const parts: readonly FlowPart[] = ['times', 'processes'];
      t.same(
        flowLines(decodedFlows(decoded), parts),
        flowLines(flows, parts),
        'cut to milliseconds',
      );
      const path = capturePath(t, messages);
      t.equal(tsharkComplaints(path), '');
      const read = tsharkFlows(path).map(({ times }) => times.map(nanoseconds));
      const exported = decoded.flatMap((message) =>
        message.records
          .filter(({ isOptions }) => !isOptions)
          .map(({ fields }) => flowTimesNs(message, fields)),
      );
      t.equal(read.length, exported.length);
      // tshark cuts what is between two nanoseconds, our decoder rounds it.
      const unit = NTP_UNIT_NS[precision];
      const differences = exported.flatMap((times, i) =>
        times.map((time, end) => (time - (read[i]?.[end] ?? 0n)) / unit),
      );
      t.ok(
        differences.every((difference) => difference >= 0n && difference <= 1n),
        differences.join(),
      );
    });
  }

  for (const { format, messages, decoded } of matrix.biflows) {
    await t.test(`${format.name}: the same sums, both directions in one record`, async (t) => {
      const biflows = exportedBiflows(messages);
      const joined = biflows.filter(({ reversePackets = 0 }) => reversePackets > 0);
      const directions = biflows.flatMap(
        ({ reversePackets = 0, reverseOctets = 0, ...forward }) => [
          forward,
          ...(reversePackets > 0 ? [{ packets: reversePackets, octets: reverseOctets }] : []),
        ],
      );
      t.same(sumFlows(directions), sumFlows(flows));
      t.same(sequenceGaps(decoded), []);
      const path = capturePath(t, messages);
      t.equal(tsharkComplaints(path), '');
      const read = decodedFlows(decoded);
      for (const conversation of conversations) {
        const { kind, address, isLoopback } = conversation;
        const asked = flows.filter((flow) => isAskedBy(flow, conversation)).length;
        const records = read.flatMap((flow, i) =>
          isAskedBy(flow, conversation) ? [{ ...flow, ...biflows[i] }] : [],
        );
        t.equal(records.length, asked, `${kind} to ${address}: all that were asked for`);
        for (const record of records) {
          t.equal(record.direction, 'initiator');
          t.ok(record.reversePackets ?? 0, 'with its answer');
          t.equal(record.sourceProcess, conversation.client);
          t.equal(record.destinationProcess, isLoopback ? conversation.server : '0 ');
        }
      }
      const directionsRead = tshark(path, ['-T', 'fields', '-e', 'cflow.biflow_direction']);
      t.equal(
        directionsRead.match(/\b1\b/g)?.length ?? 0,
        biflows.filter(({ direction }) => direction === 'initiator').length,
        'tshark',
      );
      t.ok(joined.length >= conversations.length);
    });
  }

  await t.test('IPv6 flows are counted where the format cannot express them', async (t) => {
    const ipv6 = flows.filter((flow) => !isIpv4(flow)).length;
    const said = summary.lines.filter((line) => line.includes('the format cannot express'));
    const fixedFormats = streams.filter(({ format }) => format.version < 9);
    t.equal(fixedFormats.length, 2);
    for (const { destination } of fixedFormats) {
      t.ok(
        said.some((line) => line.includes(`LOSS: ${ipv6} `) && line.includes(`(${destination})`)),
        said.join('\n'),
      );
    }
  });
});
