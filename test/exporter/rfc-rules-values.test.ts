// What the standards ask of an exporter, rule by rule: values, options, losses, biflows and files
// (RFC 7011, RFC 7012, RFC 5103, RFC 5610, RFC 5655). Other tests have the details.
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { createExportingProcess } from '../../src/exporter/exporting-process.js';
import { createFileTransport } from '../../src/exporter/transports/file-transport.js';
import { DEFAULT_RECONNECT_INTERVAL_MS } from '../../src/exporter/transports/tcp-transport.js';
import { CLIENT, reverseOf } from '../support/biflow-records.js';
import { addressText, text, truth, unixTime, unsigned } from '../support/decoder/field-values.js';
import { splitMessages } from '../support/decoder/message-splitter.js';
import { CURL_FLOW, LOOPBACK_FLOW, PING_FLOW } from '../support/described-flows.js';
import { elementOf, isAllowedLength } from '../support/element-lengths.js';
import { decodeExport } from '../support/exported-messages.js';
import { flowBatch } from '../support/flow-description.js';
import {
  BOOT_EPOCH_MS,
  DIRECTORY,
  FakeClock,
  METERING_STATUS,
  allRecords,
  directoryOf,
  recordExport,
  streamTransport,
} from '../support/recorded-export.js';

const FLOWS = [CURL_FLOW, PING_FLOW, LOOPBACK_FLOW];
const SECOND_NS = 1_000_000_000n;
const MINUTE_NS = 60n * SECOND_NS;
const PROFILES = ['standard', 'process', 'full'] as const;

t.test('RFC 7011 §7: a length is one octet below 255, else 255 and two more', async (t) => {
  for (const [octets, prefix] of [
    [254, 'fe'],
    [255, 'ff00ff'],
  ] as const) {
    const commandLine = 'x'.repeat(octets);
    const { sweep, transport } = await recordExport(10, {
      ...{ templates: { profile: 'full' }, directory: directoryOf({ 1234: { commandLine } }) },
    });
    await sweep([CURL_FLOW]);
    const value = Buffer.from(commandLine).toString('hex');
    t.ok(
      transport.messages
        .at(-1)
        ?.toString('hex')
        .includes(prefix + value),
      `${octets} octets`,
    );
    const [template] = decodeExport(transport.messages).flatMap((message) => message.templates);
    const field = template?.fields.find(({ key }) => key === '35632/556');
    t.equal(field?.octets, 65535, 'in the template');
  }
});

t.test('RFC 7011 §6.1.6: strings are UTF-8, whatever a process calls itself', async (t) => {
  const comm = Buffer.from('6cc3a9ff80e282ac22c3', 'hex');
  for (const version of [9, 10] as const) {
    const { sweep, transport } = await recordExport(version);
    await sweep([{ ...CURL_FLOW, source: { pid: 1, uid: 0, comm } }]);
    const [record] = allRecords(decodeExport(transport.messages));
    const name = text(record?.fields.get(version === 9 ? '0/57641' : '35632/169'));
    t.match(name, /^lé.*€/u);
  }
});

t.test('RFC 3954 §5.3: padding is zero and shorter than four octets; IPFIX has none', async (t) => {
  let padded = 0;
  for (const profile of PROFILES) {
    const { sweep, transport } = await recordExport(9, { templates: { profile } });
    for (let count = 1; count <= 4; count++) {
      await sweep(Array.from({ length: count }, () => CURL_FLOW));
    }
    t.ok(
      transport.messages.every(({ length }) => length % 4 === 0),
      'aligned',
    );
    // The decoder refuses what is longer, or not zero.
    const messages = decodeExport(transport.messages);
    padded += messages.filter(({ paddingOctets }) => paddingOctets > 0).length;
  }
  t.ok(padded > 0);
  const { sweep, transport } = await recordExport(10);
  await sweep(FLOWS);
  t.ok(decodeExport(transport.messages).every(({ paddingOctets }) => paddingOctets === 0));
});

t.test('RFC 7011 §6.2: only integers are shorter than their type; times never are', async (t) => {
  for (const profile of PROFILES) {
    for (const timePrecision of ['milliseconds', 'microseconds', 'nanoseconds'] as const) {
      const { sweep, transport } = await recordExport(10, {
        ...{ templates: { profile, timePrecision, isBiflow: true }, status: METERING_STATUS },
      });
      await sweep(FLOWS);
      const templates = decodeExport(transport.messages).flatMap((message) => message.templates);
      for (const field of templates.flatMap(({ fields }) => fields)) {
        const { dataType } = elementOf(field);
        if (isAllowedLength(dataType, field)) continue;
        t.fail(`${field.key}: ${dataType} in ${field.octets} octets`);
      }
      t.ok(templates.length >= 4);
    }
  }
});

t.test('RFC 7011 §4: statistics, reliability and flow keys are sent on a period', async (t) => {
  const { sweep, transport, clock } = await recordExport(10, {
    ...{ status: METERING_STATUS, optionsPeriodMs: 120_000 },
  });
  const REQUIRED = {
    'Metering Process Statistics (§4.1)': ['0/149', '0/40', '0/41', '0/42'],
    'Metering Process Reliability (§4.2)': ['0/149', '0/164', '0/165'],
    'Exporting Process Reliability (§4.3)': ['0/144', '0/166', '0/167', '0/168'],
    'Flow Keys (§4.4)': ['0/145', '0/173'],
  };
  const counts = (): number[] => {
    const records = allRecords(decodeExport(transport.messages));
    const options = records.filter(({ isOptions }) => isOptions);
    return Object.values(REQUIRED).map(
      (keys) => options.filter(({ fields }) => keys.every((key) => fields.has(key))).length,
    );
  };
  await sweep(FLOWS);
  const first = counts();
  t.ok(
    first.every((count) => count > 0),
    Object.keys(REQUIRED).join(),
  );
  clock.now += 2n * MINUTE_NS - SECOND_NS;
  await sweep(FLOWS);
  t.same(counts(), first, 'not before');
  clock.now += SECOND_NS;
  await sweep(FLOWS);
  t.same(
    counts(),
    first.map((count) => 2 * count),
  );
});

t.test('RFC 5610 §3: each element of an enterprise is described by name and type', async (t) => {
  const { sweep, transport } = await recordExport(10, {
    ...{ templates: { profile: 'full' }, status: METERING_STATUS },
  });
  await sweep(FLOWS);
  const messages = decodeExport(transport.messages);
  const described = new Map(
    allRecords(messages)
      .filter(({ fields }) => fields.has('0/346'))
      .map(({ fields }) => [
        `${unsigned(fields.get('0/346'))}/${unsigned(fields.get('0/303'))}`,
        text(fields.get('0/341')),
      ]),
  );
  const fields = messages.flatMap(({ templates }) => templates.flatMap((all) => all.fields));
  const ofEnterprises = fields.filter(({ enterprise }) => enterprise !== 0);
  t.ok(ofEnterprises.length >= 16);
  for (const field of ofEnterprises) t.equal(described.get(field.key), elementOf(field).name);
});

t.test('RFC 7011 §10.4.4: a connection is tried once a minute by default', async (t) => {
  t.equal(DEFAULT_RECONNECT_INTERVAL_MS, 60_000);
});

t.test('RFC 7011 §10.4.3: what a full buffer cannot take is counted to the record', async (t) => {
  const transport = streamTransport();
  transport.confirmed = () => 0;
  const { exporter } = await recordExport(10, { backlogOctets: 5000 }, transport);
  const flows = Array.from({ length: 100 }, () => CURL_FLOW);
  await exporter.write(flowBatch(flows));
  await exporter.close();
  const { records, lostRecords, lostPackets, lostOctets } = exporter.statistics();
  t.equal(records + lostRecords, 100);
  t.ok(lostRecords > 0);
  t.same([lostPackets, lostOctets], [lostRecords * 23, lostRecords * 4567]);
});

t.test('RFC 5103 §6: reverse elements are of 29305, and each record has a direction', async (t) => {
  const { sweep, exporter, transport } = await recordExport(10, {
    ...{ templates: { isBiflow: true, profile: 'full' } },
  });
  await sweep([CLIENT, reverseOf(CLIENT), PING_FLOW]);
  await exporter.close();
  const messages = decodeExport(transport.messages);
  for (const { fields } of messages.flatMap(({ templates }) => templates)) {
    const keys = new Set(fields.map(({ key }) => key));
    t.ok(keys.has('0/239'), 'biflowDirection');
    for (const { enterprise, element } of fields) {
      if (enterprise === 29305) t.ok(keys.has(`0/${element}`), "the reverse of an IANA's element");
    }
  }
  const records = allRecords(messages);
  t.equal(records.length, 2);
  t.ok(records.every(({ fields }) => unsigned(fields.get('0/239')) <= 3));
  t.equal(records.filter(({ fields }) => fields.has('29305/1')).length, 1);
});

t.test('RFC 5655 §5: a file is a stream of messages, and its templates come first', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'procflow-rules-'));
  t.teardown(() => {
    rmSync(directory, { recursive: true });
  });
  const exporter = createExportingProcess(
    {
      version: 10,
      observationDomainId: 7,
      templateRefreshMs: 60_000,
      maxMessageOctets: 1372,
      clock: new FakeClock(),
      directory: DIRECTORY,
    },
    createFileTransport({ path: join(directory, 'flows.ipfix') }),
  );
  await exporter.open();
  await exporter.write(flowBatch(FLOWS));
  await exporter.close();
  const [name = ''] = readdirSync(directory);
  const messages: Buffer[] = [];
  for await (const message of splitMessages([readFileSync(join(directory, name))])) {
    messages.push(message);
  }
  const [first, ...others] = decodeExport(messages, { isStream: true });
  t.equal(first?.templates.length, 2);
  t.equal(allRecords(others).length, 3);
});

t.test('RFC 7012 §3: values are in the type, unit and meaning of their element', async (t) => {
  const { sweep, transport } = await recordExport(10, { templates: { profile: 'full' } });
  await sweep([CURL_FLOW]);
  const [record] = allRecords(decodeExport(transport.messages));
  const value = (key: string): Buffer | undefined => record?.fields.get(key);
  const number = (key: string): number => unsigned(value(key));
  t.equal(addressText(value('0/8')), '192.0.2.1', 'sourceIPv4Address');
  t.equal(addressText(value('0/12')), '198.51.100.2', 'destinationIPv4Address');
  t.equal(addressText(value('0/56')), '02:00:00:00:00:01', 'sourceMacAddress');
  t.equal(unixTime(value('0/152')), BOOT_EPOCH_MS + 3_599_000, 'flowStartMilliseconds');
  t.equal(unixTime(value('0/153')), BOOT_EPOCH_MS + 3_599_999, 'flowEndMilliseconds');
  t.equal(truth(value('0/276')), true, 'dataRecordsReliability');
  t.equal(text(value('35632/169')), 'curl', 'srcProcessName');
  t.equal(text(value('35632/372')), 'alice', 'srcProcessUserName');
  const numbers = {
    '0/1': 4567, // octetDeltaCount: octets
    '0/2': 23, // packetDeltaCount: packets
    '0/4': 6, // protocolIdentifier
    '0/5': 0x10, // ipClassOfService
    '0/6': 0x1b, // tcpControlBits
    '0/7': 40000, // sourceTransportPort
    '0/10': 0, // ingressInterface: it went out
    '0/11': 443, // destinationTransportPort
    '0/14': 2, // egressInterface
    '0/25': 40, // minimumIpTotalLength: octets
    '0/26': 1500, // maximumIpTotalLength
    '0/52': 63, // minimumTTL: hops
    '0/53': 64, // maximumTTL
    '0/58': 5, // vlanId
    '0/60': 4, // ipVersion
    '0/61': 1, // flowDirection: egress
    '0/136': 3, // flowEndReason: end of flow detected
    '0/197': 0, // fragmentFlags
    '0/245': 77, // dot1qCustomerVlanId
    '35632/168': 1234, // srcProcessId
    '35632/425': 1000, // srcProcessUserId
  };
  for (const [key, expected] of Object.entries(numbers)) t.equal(number(key), expected, key);
});
