// Options templates and options data octet by octet, and which of them are sent when.
import t from 'tap';
import { IPFIX } from '../../../src/exporter/messages/ipfix.js';
import { NETFLOW_V9 } from '../../../src/exporter/messages/netflow-v9.js';
import { createOptions } from '../../../src/exporter/options/options-records.js';
import type {
  OptionsSettings,
  OptionsSource,
} from '../../../src/exporter/options/options-records.js';
import type { ControlMessage } from '../../../src/exporter/messages/outgoing-message.js';
import type { MeteringLosses } from '../../../src/flow/metering-status.js';
import type { Sampling } from '../../../src/flow/sampling.js';
import { flowTemplate, flowTemplates } from '../../../src/templates/flow-template.js';
import type { OptionsKind } from '../../../src/templates/options-templates.js';
import { MessageDecoder } from '../../support/decoder/message-decoder.js';

const NO_LOSSES: MeteringLosses = {
  packets: 0,
  octets: 0,
  firstMs: undefined,
  lastMs: undefined,
};
const NOTHING_EXPORTED = {
  messages: 0,
  records: 0,
  octets: 0,
  lostRecords: 0,
  lostPackets: 0,
  lostOctets: 0,
  firstLossMs: undefined,
  lastLossMs: undefined,
};
/** 2024-01-02 03:04:05.250 UTC: 18cc820d982 in hexadecimal. */
const FIRST_MS = 1_704_164_645_250;

const QUIET: OptionsSource = {
  status: { sampling: { kind: 'none' }, interfaces: () => [], losses: () => NO_LOSSES },
  exporting: () => NOTHING_EXPORTED,
};

function settings(
  version: 9 | 10,
  kinds: readonly OptionsKind[],
  sampling: Sampling = { kind: 'none' },
): OptionsSettings {
  return {
    format: version === 9 ? NETFLOW_V9 : IPFIX,
    flowTemplates: [flowTemplate(version, 'ipv4'), flowTemplate(version, 'ipv6')],
    kinds: new Set(kinds),
    sampling,
    maxMessageOctets: 1372,
    observationDomainId: 7,
    exportingProcessId: 0x1234,
  };
}

/** Sets without the header of their message. */
function setsHex({ format }: OptionsSettings, messages: readonly ControlMessage[]): string {
  return messages.map(({ bytes }) => bytes.toString('hex', format.headerOctets)).join('');
}

/** Hexadecimal without its spaces. */
function hex(parts: readonly string[]): string {
  return parts.join('').replaceAll(' ', '');
}

/** Text in hexadecimal, filled up with NULs. */
function text(hexadecimal: string, octets: number): string {
  return hexadecimal.replaceAll(' ', '').padEnd(2 * octets, '0');
}

const CASES: readonly {
  readonly title: string;
  readonly version: 9 | 10;
  readonly kind: OptionsKind;
  readonly sampling?: Sampling;
  readonly source?: Partial<OptionsSource>;
  readonly losses?: MeteringLosses;
  readonly templates: readonly string[];
  readonly data: readonly string[];
}[] = [
  {
    title: 'RFC 7011 §4.1: the Metering Process Statistics have the domain as scope',
    version: 10,
    kind: 'statistics',
    source: {
      exporting: () => ({ ...NOTHING_EXPORTED, messages: 2, records: 2 ** 32 + 3, octets: 4000 }),
    },
    templates: [
      '0003 001a', // set id, length
      '010b 0004 0001', // template id, fields, scope fields
      '0095 0004', // observationDomainId
      '0029 0008', // exportedMessageTotalCount
      '002a 0008', // exportedFlowRecordTotalCount
      '0028 0008', // exportedOctetTotalCount
    ],
    data: [
      '010b 0020', // set id, length
      '00000007', // domain
      '0000000000000002 0000000100000003 0000000000000fa0', // messages, records, octets
    ],
  },
  {
    title: 'RFC 7011 §4.2: what the metering process lost, and between which times',
    version: 10,
    kind: 'reliability',
    losses: { packets: 3, octets: 400, firstMs: FIRST_MS, lastMs: FIRST_MS + 5.75 },
    templates: [
      '0003 0016 010c 0003 0001 0095 0004', // set, template, observationDomainId
      '00a4 0008 00a5 0008', // ignoredPacketTotalCount, ignoredOctetTotalCount
      '0003 001a 010e 0004 0001 0090 0004', // exportingProcessId
      '00a6 0008 00a7 0008 00a8 0008', // notSentFlow-, notSentPacket-, notSentOctetTotalCount
      '0003 001e 010d 0005 0001 0095 0004',
      '00a4 0008 00a5 0008',
      '0143 0008 0143 0008', // observationTimeMilliseconds, twice
      '0003 0022 010f 0006 0001 0090 0004',
      '00a6 0008 00a7 0008 00a8 0008 0143 0008 0143 0008',
    ],
    data: [
      '010d 0028 00000007', // set, domain
      '0000000000000003 0000000000000190', // 3 packets, 400 octets
      '0000018cc820d982 0000018cc820d987', // first, last
      '010e 0020 00001234', // no loss of the exporting process: nor a time of one
      '0000000000000000 0000000000000000 0000000000000000',
    ],
  },
  {
    title: 'RFC 7011 §4.3: the records that were not sent, by exporting process',
    version: 10,
    kind: 'reliability',
    source: {
      exporting: () => ({
        ...NOTHING_EXPORTED,
        lostRecords: 1,
        lostPackets: 23,
        lostOctets: 4567,
        firstLossMs: FIRST_MS,
        lastLossMs: FIRST_MS,
      }),
    },
    templates: [],
    data: [
      '010c 0018 00000007 0000000000000000 0000000000000000',
      '010f 0030 00001234', // set, exporting process
      '0000000000000001 0000000000000017 00000000000011d7', // records, packets, octets
      '0000018cc820d982 0000018cc820d982',
    ],
  },
  {
    title: 'RFC 7011 §4.4: the Flow Keys of each template, first field in the lowest bit',
    version: 10,
    kind: 'flow-keys',
    templates: [
      '0003 0012 0110 0002 0001',
      '0091 0002', // templateId
      '00ad 0008', // flowKeyIndicator
    ],
    data: [
      '0110 0018', // set
      // addresses, ICMP, ports: fields 4 to 8; protocol 10, direction 11; interfaces 15 and 16
      '0100 0000000000018df0',
      '0101 0000000000018df0',
    ],
  },
  {
    title: 'RFC 5610 §3.9: names and types of the enterprise elements, each once',
    version: 10,
    kind: 'types',
    templates: [
      '0003 0022 0111 0006 0002',
      '015a 0004 012f 0002', // privateEnterpriseNumber, informationElementId
      '0153 0001 0158 0001 0159 0002', // data type, semantics, units
      '0155 ffff', // informationElementName
    ],
    data: [
      '0111 00d4', // set
      // enterprise, number without its bit, type, semantics, units, length of the name, name
      '00008b30 00a8 03 04 0000 0c 73726350726f636573734964', // unsigned32, identifier
      '00008b30 00a9 0d 00 0000 0e 73726350726f636573734e616d65', // string, default
      '00008b30 01a9 03 04 0000 10 73726350726f63657373557365724964',
      '00008b30 0174 0d 00 0000 12 73726350726f63657373557365724e616d65',
      '00008b30 0177 03 04 0000 0c 64737450726f636573734964',
      '00008b30 0178 0d 00 0000 0e 64737450726f636573734e616d65',
      '00008b30 01aa 03 04 0000 10 64737450726f63657373557365724964',
      '00008b30 0179 0d 00 0000 12 64737450726f63657373557365724e616d65',
    ],
  },
  {
    title: 'RFC 5476 §6.5.2: one packet in 10 by count is a space of 9 after each',
    version: 10,
    kind: 'sampling',
    sampling: { kind: 'count', interval: 10 },
    templates: [
      '0003 0012 0106 0002 0001 0095 0004 0022 0004', // samplingInterval alone
      '0003 0016 0107 0003 0001 0095 0004 0022 0004 0023 0001', // and samplingAlgorithm
      '0003 001a 0108 0004 0001',
      '012e 0008', // selectorId
      '0130 0002 0131 0004 0132 0004', // algorithm, packet interval, packet space
    ],
    data: [
      '0106 000c 00000007 0000000a',
      '0107 000d 00000007 0000000a 01', // deterministic
      '0108 0016 0000000000000001 0001 00000001 00000009', // systematic count-based
    ],
  },
  {
    title: 'RFC 5476 §6.5.2: one packet in 4 at random is a probability',
    version: 10,
    kind: 'sampling',
    sampling: { kind: 'random', interval: 4 },
    templates: [
      '0003 0012 0106 0002 0001 0095 0004 0022 0004',
      '0003 0016 0107 0003 0001 0095 0004 0022 0004 0023 0001',
      '0003 0016 0109 0003 0001 012e 0008 0130 0002 0137 0008', // samplingProbability
    ],
    data: [
      '0106 000c 00000007 00000004',
      '0107 000d 00000007 00000004 02', // random
      '0109 0016 0000000000000001 0004 3fd0000000000000', // uniform, 0.25
    ],
  },
  {
    title: 'RFC 7014: selected flows are told as such, and not as sampled packets',
    version: 10,
    kind: 'sampling',
    sampling: { kind: 'flow', interval: 4 },
    templates: ['0003 0016 010a 0003 0001 012e 0008 0186 0002 0137 0008'],
    data: ['010a 0016 0000000000000001 0004 3fd0000000000000'],
  },
  {
    title: 'v9 knows no selection of flows',
    version: 9,
    kind: 'sampling',
    sampling: { kind: 'flow', interval: 4 },
    templates: [],
    data: [],
  },
  {
    title: 'interface names, for nfdump with a description that begins with the name',
    version: 10,
    kind: 'interfaces',
    source: {
      status: {
        ...QUIET.status,
        interfaces: () => [{ index: 2, name: 'eth0', description: 'up "link"' }],
      },
    },
    templates: [
      '0003 0012 0104 0002 0001',
      '000a 0004 0052 0010', // ingressInterface; name
      '0003 0016 0105 0003 0001',
      '0095 0004 000a 0004 0053 0040', // observationDomainId; ingressInterface, description
    ],
    data: [
      '0104 0018 00000002',
      text('65746830', 16), // eth0
      '0105 004c 00000007 00000002',
      text('65746830 3a20 7570205f6c696e6b5f', 64), // eth0: up _link_
    ],
  },
  {
    title: 'RFC 3954 §6.1: v9 has lengths in octets, a scope by its kind, sets of whole words',
    version: 9,
    kind: 'sampling',
    sampling: { kind: 'count', interval: 10 },
    templates: [
      '0001 0014 0106 0004 0004', // set id, length; template id, octets of scope and of options
      '0001 0004 0022 0004 0000', // scope system; samplingInterval; padding
      '0001 0018 0107 0004 0008 0001 0004 0022 0004 0023 0001 0000',
    ],
    data: ['0106 000c 00000007 0000000a', '0107 0010 00000007 0000000a 01 000000'],
  },
  {
    title: 'v9 has interfaces as a scope, and for nfdump as a field',
    version: 9,
    kind: 'interfaces',
    source: {
      status: {
        ...QUIET.status,
        interfaces: () => [{ index: 1, name: 'lo', description: '' }],
      },
    },
    templates: [
      '0001 0014 0104 0004 0004 0002 0004 0052 0010 0000',
      '0001 0018 0105 0004 0008 0001 0004 000a 0004 0053 0040 0000', // scope system
    ],
    data: ['0104 0018 00000001', text('6c6f', 16), '0105 004c 00000007 00000001', text('6c6f', 64)],
  },
  {
    title: 'v9 tells losses without their times, also when there are some',
    version: 9,
    kind: 'reliability',
    losses: { packets: 3, octets: 400, firstMs: FIRST_MS, lastMs: FIRST_MS },
    templates: [
      '0001 0018 010c 0004 0008 0001 0004 00a4 0008 00a5 0008 0000',
      '0001 001c 010e 0004 000c 0001 0004 00a6 0008 00a7 0008 00a8 0008 0000',
    ],
    data: [
      '010c 0018 00000007 0000000000000003 0000000000000190',
      '010e 0020 00000007 0000000000000000 0000000000000000 0000000000000000',
    ],
  },
  { title: 'v9 has no flow keys', version: 9, kind: 'flow-keys', templates: [], data: [] },
  { title: 'v9 has no types', version: 9, kind: 'types', templates: [], data: [] },
];

for (const { title, version, kind, sampling, source, losses, templates, data } of CASES) {
  t.test(title, (t) => {
    const chosen = settings(version, [kind], sampling);
    const options = createOptions(chosen);
    if (templates.length > 0 || data.length === 0) {
      t.equal(setsHex(chosen, options.templateMessages), hex(templates), 'templates');
    }
    const status = { ...QUIET.status, ...(losses && { losses: () => losses }) };
    const messages = options.dataMessages({ ...QUIET, status, ...source });
    t.equal(setsHex(chosen, messages), hex(data), 'data');
    t.end();
  });
}

const ALL: readonly OptionsKind[] = [
  'interfaces',
  'sampling',
  'statistics',
  'reliability',
  'flow-keys',
  'types',
];

t.test('without sampling nothing is said of it', (t) => {
  for (const version of [9, 10] as const) {
    const options = createOptions(settings(version, ['sampling']));
    t.same(options.templateMessages, []);
    t.same(options.dataMessages(QUIET), []);
  }
  t.end();
});

t.test('messages keep to their limit and count their records', (t) => {
  const names = Array.from({ length: 100 }, (_, i) => ({
    index: i + 1,
    name: `veth${i}`,
    description: 'ü'.repeat(i),
  }));
  const source = { ...QUIET, status: { ...QUIET.status, interfaces: () => names } };
  for (const version of [9, 10] as const) {
    const all = settings(version, ALL, { kind: 'count', interval: 10 });
    const options = createOptions({ ...all, maxMessageOctets: 150 });
    const messages = [...options.templateMessages, ...options.dataMessages(source)];
    let templates = 0;
    let records = 0;
    for (const { bytes, templateRecords, dataRecords } of messages) {
      t.ok(bytes.length <= 150, `${bytes.length} octets`);
      t.equal(bytes.length % all.format.setAlignmentOctets, 0);
      templates += templateRecords;
      records += dataRecords;
    }
    t.equal(templates, version === 9 ? 7 : 12);
    // 100 interfaces twice; sampling 2 or 3, statistics, reliability of two; keys and types
    t.equal(records, version === 9 ? 205 : 200 + 3 + 1 + 2 + 2 + 8);
  }
  t.end();
});

/** Of each set, the ids of its options templates with the types of all their fields. */
function templateTypes(version: 9 | 10, message: ControlMessage): Map<number, number[]> {
  const { bytes } = message;
  const format = version === 9 ? NETFLOW_V9 : IPFIX;
  const types = new Map<number, number[]>();
  let end = format.headerOctets;
  for (let start = end; start < bytes.length; start = end) {
    end = start + bytes.readUInt16BE(start + 2);
    const counted = bytes.readUInt16BE(start + 6);
    const fields = version === 10 ? counted : (counted + bytes.readUInt16BE(start + 8)) / 4;
    const at = Array.from({ length: fields }, (_, i) => start + 10 + 4 * i);
    t.ok(end - start - (10 + 4 * fields) < 4, 'a set of its own');
    types.set(
      bytes.readUInt16BE(start + 4),
      at.map((position) => bytes.readUInt16BE(position)),
    );
  }
  return types;
}

t.test('a template with an element twice has a message of its own, behind all others', (t) => {
  for (const version of [9, 10] as const) {
    const all = settings(version, ALL, { kind: 'random', interval: 10 });
    const messages = createOptions(all).templateMessages.map((message) =>
      templateTypes(version, message),
    );
    const [together, ...alone] = messages;
    for (const types of together?.values() ?? []) t.equal(new Set(types).size, types.length);
    t.equal(together?.size, version === 9 ? 7 : 10);
    const losses = [
      [[0x10d, [149, 164, 165, 323, 323]]],
      [[0x10f, [144, 166, 167, 168, 323, 323]]],
    ];
    t.same(
      alone.map((types) => [...types]),
      version === 9 ? [] : losses,
    );
  }
  t.end();
});

t.test('a strict decoder reads all of it', (t) => {
  const interfaces = () => [{ index: 2, name: 'eth0', description: '' }];
  const source = { ...QUIET, status: { ...QUIET.status, interfaces } };
  for (const version of [9, 10] as const) {
    const all = settings(version, ALL, { kind: 'random', interval: 10 });
    const options = createOptions(all);
    const decoder = new MessageDecoder({ isStrict: true });
    const messages = [...options.templateMessages, ...options.dataMessages(source)];
    const decoded = messages.map(({ bytes, templateRecords, dataRecords }) => {
      const header = {
        messageOctets: bytes.length,
        records: templateRecords + dataRecords,
        exportTimeMs: FIRST_MS,
        uptimeZeroMs: FIRST_MS - 1000,
        sequenceNumber: 0,
        observationDomainId: 7,
        sampling: all.sampling,
      };
      all.format.writeMessageHeader(header, bytes);
      return decoder.decode(bytes);
    });
    const templates = decoded.flatMap((message) => message.templates);
    const records = decoded.flatMap((message) => message.records);
    t.ok(templates.every(({ id, isOptions }) => id >= 260 && isOptions));
    t.ok(records.every(({ isOptions }) => isOptions));
    t.equal(templates.length, version === 9 ? 7 : 12);
    t.equal(records.length, version === 9 ? 7 : 18);
  }
  t.end();
});

t.test('the source is asked once, however many templates its answer is for', (t) => {
  let calls = 0;
  const interfaces = () => {
    calls++;
    return [];
  };
  const options = createOptions(settings(10, ['interfaces']));
  options.dataMessages({ ...QUIET, status: { ...QUIET.status, interfaces } });
  t.equal(calls, 1);
  t.end();
});

t.test('a long alias is cut at a character, and its field ends in a NUL', (t) => {
  const name = 'eth0';
  const description = 'é'.repeat(60);
  const interfaces = () => [{ index: 2, name, description }];
  const chosen = settings(10, ['interfaces']);
  const [message] = createOptions(chosen).dataMessages({
    ...QUIET,
    status: { ...QUIET.status, interfaces },
  });
  // Behind the set with the name: the set's header, the scope, the index.
  const start = 16 + (4 + 4 + 16) + 4 + 4 + 4;
  const field = message?.bytes.subarray(start, start + 64) ?? Buffer.alloc(0);
  t.equal(field.toString('utf8').replaceAll('\0', ''), `eth0: ${'é'.repeat(28)}`);
  t.equal(field[63], 0);
  t.end();
});

t.test(
  'RFC 5103 §4: a biflow has the keys of its forward direction, and no type is told of a reverse',
  (t) => {
    const biflows = flowTemplates(10, { isBiflow: true, profile: 'full' });
    const flows = flowTemplates(10, { profile: 'full' });
    const keysOf = (templates: typeof flows): Map<number, string> => {
      const options = createOptions({ ...settings(10, ['flow-keys']), flowTemplates: templates });
      const [message] = options.dataMessages(QUIET);
      const data = message?.bytes.subarray(20) ?? Buffer.alloc(0);
      const keys = new Map<number, string>();
      for (let at = 0; at < data.length; at += 10) {
        keys.set(data.readUInt16BE(at), data.toString('hex', at + 2, at + 10));
      }
      return keys;
    };
    const plain = keysOf(flows);
    t.same([...plain.keys()], [256, 257]);
    t.same(
      [...keysOf(biflows)],
      [256, 257, 258, 259].map((id) => [id, plain.get(256 + (id % 2))]),
    );
    const typesOf = (templates: typeof flows): string => {
      const chosen = { ...settings(10, ['types']), flowTemplates: templates };
      return setsHex(chosen, createOptions(chosen).dataMessages(QUIET));
    };
    t.equal(typesOf(biflows), typesOf(flows));
    t.end();
  },
);
