// What real collectors make of options: nfcapd with nfdump, tshark, nfacctd. Flows come from the
// exporting process; the options are put between them here, with headers of their own.
import { createSocket } from 'node:dgram';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { ApplicationNames } from '../../../src/exporter/options/application-names.js';
import { IPFIX } from '../../../src/exporter/messages/ipfix.js';
import { NETFLOW_V9 } from '../../../src/exporter/messages/netflow-v9.js';
import { createOptions } from '../../../src/exporter/options/options-records.js';
import type { ControlMessage } from '../../../src/exporter/messages/outgoing-message.js';
import type { MeteringStatus } from '../../../src/flow/metering-status.js';
import type { Sampling } from '../../../src/flow/sampling.js';
import { flowTemplates } from '../../../src/templates/flow-template.js';
import { CURL_FLOW } from '../../support/described-flows.js';
import type { FlowDescription } from '../../support/flow-description.js';
import { MessageDecoder } from '../../support/decoder/message-decoder.js';
import { startNfacctd, toNfacctdFlow } from '../../support/nfacctd.js';
import { startNfcapd, type Nfcapd } from '../../support/nfcapd.js';
import { tshark, tsharkComplaints, writePcap } from '../../support/pcap.js';
import { BOOT_EPOCH_MS, recordExport } from '../../support/recorded-export.js';

const EXPORTED_MS = BOOT_EPOCH_MS + 3_600_000;
const STATUS: MeteringStatus = {
  sampling: { kind: 'none' },
  interfaces: () => [
    { index: 2, name: 'eth0', description: 'up "link"' },
    { index: 3, name: 'wlan0', description: '' },
    { index: 4, name: 'docker0', description: 'containers' },
  ],
  losses: () => ({ packets: 3, octets: 400, firstMs: EXPORTED_MS - 99, lastMs: EXPORTED_MS }),
};
const EXPORTING = {
  messages: 1,
  records: 2,
  octets: 3,
  lostRecords: 4,
  lostPackets: 5,
  lostOctets: 6,
  firstLossMs: EXPORTED_MS - 77,
  lastLossMs: EXPORTED_MS,
};
const ALL = ['interfaces', 'sampling', 'statistics', 'reliability', 'flow-keys', 'types'] as const;

/** Templates, options, flows, and once more options and flows, as one session. */
async function session(
  version: 9 | 10,
  sampling: Sampling,
  described: readonly FlowDescription[] = [CURL_FLOW],
): Promise<Buffer[]> {
  const { sweep, transport } = await recordExport(version);
  await sweep(described);
  const decoder = new MessageDecoder();
  const [templates, flows] = transport.messages.map((bytes): ControlMessage => {
    const decoded = decoder.decode(bytes);
    return {
      bytes,
      templateRecords: decoded.templates.length,
      dataRecords: decoded.records.length,
    };
  });
  if (templates === undefined || flows === undefined) throw new Error('no templates or no flows');
  const { templateMessages, dataMessages } = createOptions({
    format: version === 9 ? NETFLOW_V9 : IPFIX,
    flowTemplates: flowTemplates(version),
    kinds: new Set(ALL),
    sampling,
    maxMessageOctets: 1372,
    observationDomainId: 7,
    exportingProcessId: 42,
  });
  const data = dataMessages({ status: STATUS, exporting: () => EXPORTING });
  const options = [...templateMessages, ...data];
  return numbered(version, [templates, ...options, flows, ...options, flows]);
}

/** Copies with the headers of a session. */
function numbered(version: 9 | 10, messages: readonly ControlMessage[]): Buffer[] {
  const format = version === 9 ? NETFLOW_V9 : IPFIX;
  let sequenceNumber = 0;
  return messages.map(({ bytes, templateRecords, dataRecords }) => {
    const copy = Buffer.from(bytes);
    const header = {
      messageOctets: copy.length,
      records: templateRecords + dataRecords,
      exportTimeMs: EXPORTED_MS,
      uptimeZeroMs: BOOT_EPOCH_MS - 86_400_000,
      sequenceNumber,
      observationDomainId: 7,
      sampling: STATUS.sampling,
    };
    format.writeMessageHeader(header, copy);
    sequenceNumber += format.sequenceStep(dataRecords);
    return copy;
  });
}

async function send(port: number, messages: readonly Buffer[]): Promise<void> {
  const socket = createSocket('udp4');
  for (const message of messages) {
    await new Promise<void>((resolve, reject) => {
      socket.send(message, port, '127.0.0.1', (error) => {
        if (error === null) resolve();
        else reject(error);
      });
    });
  }
  socket.close();
}

function hex(parts: readonly string[]): Buffer {
  return Buffer.from(parts.join('').replaceAll(' ', ''), 'hex');
}

/** Lines of the records in that format of nfdump's. */
function lines(nfcapd: Nfcapd, format: string): string[] {
  const out = nfcapd.nfdump('-q', '-N', '-o', `fmt:${format}`).split('\n');
  return out.filter((line) => line.includes(';')).map((line) => line.replaceAll(' ', ''));
}

const SAMPLINGS: readonly { readonly sampling: Sampling; readonly scale: number }[] = [
  { sampling: { kind: 'none' }, scale: 1 },
  { sampling: { kind: 'count', interval: 10 }, scale: 10 },
  { sampling: { kind: 'random', interval: 4 }, scale: 4 },
  { sampling: { kind: 'flow', interval: 4 }, scale: 1 },
];

for (const version of [9, 10] as const) {
  for (const { sampling, scale } of SAMPLINGS) {
    t.test(
      `version ${version}, sampling ${sampling.kind}: nfdump scales by ${scale}`,
      async (t) => {
        const nfcapd = await startNfcapd(t);
        await send(nfcapd.port, await session(version, sampling));
        await nfcapd.stop();
        const [packets, octets] = [Number(CURL_FLOW.packets), Number(CURL_FLOW.octets)];
        t.same(
          lines(nfcapd, '%in;%inam;%out;%onam;%pkt;%byt'),
          Array.from(
            { length: 2 },
            () => `0;;2;eth0:up_link_;${packets * scale};${octets * scale}`,
          ),
        );
        const totals = nfcapd.totals();
        t.match(totals, { flows: 2, packets: 2 * packets * scale, badPackets: 0 });
        t.same(nfcapd.complaints(), []);
        // nfcapd leaves options data out of its count, and takes the second round for a gap.
        t.equal(totals.sequenceErrors, version === 9 ? 0 : 1);
      },
    );
  }

  t.test(`version ${version}: nfdump knows every interface by name`, async (t) => {
    const flows = [2, 3, 4].flatMap((interfaceIndex): FlowDescription[] => [
      { ...CURL_FLOW, interfaceIndex },
      { ...CURL_FLOW, interfaceIndex, direction: 'ingress' },
    ]);
    const nfcapd = await startNfcapd(t);
    await send(nfcapd.port, await session(version, { kind: 'none' }, flows));
    await nfcapd.stop();
    const names = [...new Set(lines(nfcapd, '%in;%inam;%out;%onam'))].sort();
    t.same(names, [
      '0;;2;eth0:up_link_',
      '0;;3;wlan0',
      '0;;4;docker0:containers',
      '2;eth0:up_link_;0;',
      '3;wlan0;0;',
      '4;docker0:containers;0;',
    ]);
    t.same(nfcapd.complaints(), []);
    t.match(nfcapd.totals(), { flows: 12, badPackets: 0 });
  });

  t.test(`version ${version}: nfacctd learns how packets are sampled`, async (t) => {
    const nfacctd = await startNfacctd(t, { version });
    await send(nfacctd.port, await session(version, { kind: 'count', interval: 10 }));
    const flows = (await nfacctd.stop()).map(toNfacctdFlow);
    // It counts options records of variable length wrongly: those of types, in the second round.
    t.match(nfacctd.complaints(), version === 9 ? [] : ['expecting flow']);
    t.equal(nfacctd.complaints().length, version === 9 ? 0 : 1);
    // It multiplies only with nfacctd_renormalize.
    const packets = 2 * Number(CURL_FLOW.packets);
    t.match(flows, [{ flows: 2, packets, samplingInterval: 10, egressInterface: 2 }]);
  });

  t.test(`version ${version}: tshark reads each record, and no gap`, async (t) => {
    const directory = mkdtempSync(join(tmpdir(), 'procflow-options-'));
    t.teardown(() => {
      rmSync(directory, { recursive: true });
    });
    const capture = join(directory, 'options.pcap');
    const messages = await session(version, { kind: 'count', interval: 10 });
    writePcap(capture, messages);
    t.equal(tsharkComplaints(capture), '');
    const text = tshark(capture, ['-V']);
    for (const line of [
      'IfName: eth0',
      'IfDescr: eth0: up _link_',
      'Sampling interval: 10',
      ...(version === 9 ? [] : ['Information Element Name: srcProcessName', 'Template Id: 257']),
    ]) {
      t.ok(text.includes(`${line}\n`), line);
    }
    const unknown = text.split('\n').filter((line) => /Unknown|Expert/.test(line));
    t.same(unknown, []);
  });
}

t.test('nfdump prints the name of an application, and tells two apart', async (t) => {
  const names = new ApplicationNames({
    format: IPFIX,
    exportingProcessId: 42,
    maxMessageOctets: 1372,
    repeatMs: 60_000,
  });
  const template = hex([
    '0002 0020 0100 0006', // set id, length, template id, fields
    '0098 0008 0099 0008', // flowStart-, flowEndMilliseconds
    '0008 0004 000c 0004', // sourceIPv4Address, destinationIPv4Address
    '0001 0008 005f 0009', // octetDeltaCount, applicationId
  ]);
  const flow = (name: string): Buffer => {
    const record = Buffer.alloc(8 + 8 + 4 + 4 + 8 + 9);
    record.writeBigUInt64BE(BigInt(EXPORTED_MS - 1000), 0);
    record.writeBigUInt64BE(BigInt(EXPORTED_MS), 8);
    hex(['c0000201 c0000202']).copy(record, 16);
    record.writeBigUInt64BE(100n, 24);
    names.writeId(Buffer.from(name), 0, Buffer.byteLength(name), record, 32);
    return record;
  };
  const records = ['curl', 'nginx', '', 'curl'].map(flow);
  const set = hex(['0100 0000']);
  const data = Buffer.concat([set, ...records]);
  data.writeUInt16BE(data.length, 2);
  const nfcapd = await startNfcapd(t);
  await send(
    nfcapd.port,
    numbered(10, [
      {
        bytes: Buffer.concat([Buffer.alloc(16), template]),
        templateRecords: 1,
        dataRecords: 0,
      },
      ...names.templateMessages,
      ...names.takeDue(),
      { bytes: Buffer.concat([Buffer.alloc(16), data]), templateRecords: 0, dataRecords: 4 },
    ]),
  );
  await nfcapd.stop();
  t.same(lines(nfcapd, '%byt;%nbnam'), ['100;curl', '100;nginx', '100;<noinfo>', '100;curl']);
  t.match(nfcapd.totals(), { badPackets: 0, sequenceErrors: 0 });
});
