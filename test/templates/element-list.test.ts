import t from 'tap';
import { exportableElements, parseElementList } from '../../src/templates/element-list.js';
import { FLOW_FIELDS } from '../../src/templates/flow-fields.js';
import { flowTemplates } from '../../src/templates/flow-template.js';
import { CURL_FLOW } from '../support/described-flows.js';
import { exportedRecords } from '../support/exported-messages.js';
import { recordExport } from '../support/recorded-export.js';

const SHORT = 'octetDeltaCount, sourceIPv4Address\n\tsourceIPv6Address,,srcProcessId ';

t.test('commas and white space separate the elements, and their order stays', async (t) => {
  for (const version of [9, 10] as const) {
    const profile = parseElementList(SHORT, version);
    t.same(profile, ['octetDeltaCount', 'sourceIPv4Address', 'sourceIPv6Address', 'srcProcessId']);
    const [ipv4, ipv6] = flowTemplates(version, { profile });
    const names = (template = ipv4): unknown => template?.fields.map(({ element }) => element);
    t.same(names(ipv4), ['octetDeltaCount', 'sourceIPv4Address', 'srcProcessId']);
    t.same(names(ipv6), ['octetDeltaCount', 'sourceIPv6Address', 'srcProcessId']);
  }
});

t.test('records have the elements of the list and no others', async (t) => {
  const { sweep, transport } = await recordExport(10, {
    templates: { profile: parseElementList(SHORT, 10) },
  });
  await sweep([CURL_FLOW]);
  const [record] = exportedRecords(transport.messages);
  t.same(
    [...(record?.fields ?? [])].map(([key, value]) => [key, value.toString('hex')]),
    [
      ['0/1', '00000000000011d7'], // 4567 octets
      ['0/8', 'c0000201'],
      ['35632/168', '000004d2'], // 1234
    ],
  );
});

t.test('the elements of a list say how fine its times are', async (t) => {
  const profile = parseElementList(
    'flowStartMicroseconds flowEndNanoseconds protocolIdentifier',
    10,
  );
  const [ipv4] = flowTemplates(10, { profile, timePrecision: 'milliseconds' });
  t.same(
    ipv4?.fields.map(({ element }) => element),
    profile,
  );
});

t.test('every field can be in a list of its format', async (t) => {
  for (const version of [9, 10] as const) {
    const elements = exportableElements(version);
    t.same(parseElementList(elements.join(','), version), elements);
    const templates = flowTemplates(version, { profile: elements });
    const exported = new Set(templates.flatMap(({ fields }) => fields.map((f) => f.element)));
    t.same([...exported].sort(), [...elements].sort());
  }
  const all = new Set([...exportableElements(9), ...exportableElements(10)]);
  const rest = FLOW_FIELDS.map(({ element }) => element).filter((element) => !all.has(element));
  t.same(rest, ['applicationId'], 'which has an option of its own');
});

const WRONG = [
  { version: 9, text: ' ,\n', message: /: the list is empty \(give any of flowStartSysUpTime / },
  {
    version: 10,
    text: 'octetDeltaCount octetDeltaCount',
    message: /octetDeltaCount is there twice \(give each element once\)/,
  },
  {
    version: 10,
    text: 'srcprocessname',
    message: /there is no element srcprocessname \(did you mean srcProcessName or /,
  },
  {
    version: 9,
    text: 'sourceIp4Address',
    message: /there is no element sourceIp4Address \(did you mean sourceIPv4Address/,
  },
  {
    version: 10,
    text: 'bgpSourceAsNumber',
    message: /bgpSourceAsNumber is not among the elements that are exported \(give any of flow/,
  },
  {
    version: 10,
    text: 'constructor',
    message: /there is no element constructor \(give any of flowStartMilliseconds /,
  },
  {
    version: 9,
    text: 'flowStartMilliseconds',
    message:
      /^read the list of elements for NetFlow v9: flowStartMilliseconds is exported in IPFIX only \(give flowStartSysUpTime instead\)$/,
  },
  {
    version: 9,
    text: 'flowEndNanoseconds',
    message: /exported in IPFIX only \(give flowEndSysUpTime instead\)/,
  },
  {
    version: 10,
    text: 'flowEndSysUpTime',
    message: /exported in NetFlow v9 only \(give flowEndMilliseconds instead\)/,
  },
  {
    version: 10,
    text: 'netflow9UserName',
    message: /exported in NetFlow v9 only \(give applicationName instead\)/,
  },
  {
    version: 9,
    text: 'dataRecordsReliability',
    message: /exported in IPFIX only \(leave it out\)/,
  },
  {
    version: 10,
    text: 'octetDeltaCount applicationId',
    message: /applicationId is not exported by a list \(ask for application names for nfdump/,
  },
  { version: 5, text: 'octetDeltaCount', message: /the records of NetFlow v5 are fixed \(export / },
  { version: 1, text: '', message: /the records of NetFlow v1 are fixed \(export / },
] as const;

t.test('a list that cannot be a template says why, and what to give instead', async (t) => {
  for (const { version, text, message } of WRONG) {
    const expected = { name: 'TemplateError', code: 'bad-elements', message };
    t.throws(() => parseElementList(text, version), expected, text);
  }
});
