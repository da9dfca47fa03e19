// The user's formats for process names, from the format to the octets and to what nfdump prints.
import fc from 'fast-check';
import t from 'tap';
import { createEncodingContext } from '../../../src/exporter/records/data-record.js';
import { compileRecordPlan } from '../../../src/exporter/records/record-plan.js';
import type { ProcessIdentity } from '../../../src/flow/process-directory.js';
import { flowTemplate } from '../../../src/templates/flow-template.js';
import { parseProcessTextFormat } from '../../../src/templates/process-text-format.js';
import { CURL_FLOW, LOOPBACK_FLOW } from '../../support/described-flows.js';
import { exportedRecords } from '../../support/exported-messages.js';
import {
  flowBatch,
  type FlowDescription,
  type ProcessDescription,
} from '../../support/flow-description.js';
import { printByNfdump } from '../../support/nfdump-fixture.js';
import { DIRECTORY, directoryOf, recordExport } from '../../support/recorded-export.js';

const CONTAINER = '0123456789abcdef'.repeat(4);
const IDENTITY: Partial<ProcessIdentity> = {
  executable: '/usr/bin/curl',
  commandLine: 'curl -s http://198.51.100.2/',
  parentPid: 1000,
  parentName: 'bash',
  cgroupPath: '/system.slice/job.service',
  unit: 'job.service',
  containerId: CONTAINER,
  containerRuntime: 'podman',
  podUid: '01234567-89ab-cdef-0123-456789abcdef',
};
const CURL: ProcessDescription = { pid: 1234, uid: 1000, comm: 'curl' };

interface Export {
  readonly version?: 9 | 10;
  readonly format: string;
  readonly identity?: Partial<ProcessIdentity>;
  readonly flows?: readonly FlowDescription[];
}

/** The name of each flow as the field has it, without padding, and how many texts were cut. */
async function exportNames({
  version = 10,
  format,
  identity = IDENTITY,
  flows = [CURL_FLOW],
}: Export): Promise<{ names: string[]; lengths: number[]; cut: number }> {
  const nameFormat = parseProcessTextFormat(format);
  const { sweep, exporter, transport } = await recordExport(version, {
    templates: { profile: 'standard', nameFormat },
    directory: directoryOf({ 1234: identity }),
  });
  await sweep(flows);
  const element = version === 9 ? '0/40000' : '0/96';
  const octets = exportedRecords(transport.messages).map(({ fields }) => fields.get(element));
  const decoder = new TextDecoder('utf-8', { fatal: true });
  return {
    names: octets.map((name) => decoder.decode(name).replace(/\0+$/, '')),
    lengths: octets.map((name) => name?.length ?? -1),
    cut: exporter.statistics().truncatedFields,
  };
}

const PLACEHOLDERS = [
  { format: '{comm}', known: 'curl', unknown: 'curl' },
  { format: '{pid}', known: '1234', unknown: '1234' },
  { format: '{uid}', known: '1000', unknown: '1000' },
  { format: '{user}', known: 'alice', unknown: 'alice' },
  { format: '{exe}', known: '/usr/bin/curl', unknown: '' },
  { format: '{exename}', known: 'curl', unknown: '' },
  { format: '{command}', known: 'curl -s http://198.51.100.2/', unknown: '' },
  { format: '{ppid}', known: '1000', unknown: '' },
  { format: '{parent}', known: 'bash', unknown: '' },
  { format: '{unit}', known: 'job.service', unknown: '' },
  { format: '{container}', known: '0123456789ab', unknown: '' },
  { format: '{containerid}', known: CONTAINER, unknown: '' },
  { format: '{runtime}', known: 'podman', unknown: '' },
  { format: '{cgroup}', known: '/system.slice/job.service', unknown: '' },
  { format: '{pod}', known: '01234567-89ab-cdef-0123-456789abcdef', unknown: '' },
  { format: '{comm}/{pid}', known: 'curl/1234', unknown: 'curl/1234' },
  { format: '{user}:{exe}', known: 'alice:/usr/bin/curl', unknown: 'alice:' },
  { format: '{{{comm}}}ä', known: '{curl}ä', unknown: '{curl}ä' },
] as const;

t.test('each placeholder in both versions, and empty where nothing is known', async (t) => {
  for (const { format, known, unknown } of PLACEHOLDERS) {
    for (const version of [9, 10] as const) {
      const name = `${format} in version ${version}`;
      t.same((await exportNames({ version, format })).names, [known], name);
      const bare = await exportNames({ version, format, identity: {} });
      t.same(bare.names, [unknown], `${name}, nothing known`);
    }
  }
});

t.test('a container without an id is called by its whole name', async (t) => {
  const { names } = await exportNames({
    format: '{container}',
    identity: { containerId: 'database-of-production' },
  });
  t.same(names, ['database-of-production']);
});

const NO_PROCESS = { ...CURL_FLOW, source: {} } as const;
const METHODS = [
  { method: 'ATTRIBUTION_KERNEL', expected: '(kernel)' },
  { method: 'ATTRIBUTION_FORWARDED', expected: '(forwarded)' },
  { method: 'ATTRIBUTION_UNKNOWN', expected: '(unknown)' },
] as const;

t.test('without a process the word for it stands alone', async (t) => {
  for (const { method, expected } of METHODS) {
    for (const version of [9, 10] as const) {
      const flows = [{ ...NO_PROCESS, source: { method } }];
      for (const format of ['{comm}/{pid}', 'x', '{user}']) {
        const { names, cut } = await exportNames({ version, format, flows });
        t.same({ names, cut }, { names: [expected], cut: 0 }, `${format} in version ${version}`);
      }
    }
  }
});

t.test('userName follows its own format, and is empty without a process', async (t) => {
  const { sweep, transport } = await recordExport(10, {
    templates: { profile: 'standard', userFormat: parseProcessTextFormat('{user}({uid})') },
  });
  await sweep([CURL_FLOW, NO_PROCESS]);
  const records = exportedRecords(transport.messages);
  t.same(
    records.map(({ fields }) => [String(fields.get('0/371')), String(fields.get('0/96'))]),
    [
      ['alice(1000)', 'curl'],
      ['', '(unknown)'],
    ],
  );
});

t.test('uid and comm may change while the process stays the same', async (t) => {
  const flows = [
    CURL_FLOW,
    { ...CURL_FLOW, source: { ...CURL, comm: 'worker' } },
    { ...CURL_FLOW, source: { ...CURL, uid: 33 } },
  ];
  const { names } = await exportNames({ format: '{user}:{comm}:{exename}', flows });
  t.same(names, ['alice:curl:curl', 'alice:worker:curl', 'www-data:curl:curl']);
});

const BOUNDS = [
  { version: 9, format: 'app:{comm}', comm: 'c'.repeat(15), octets: 19, field: 20, cut: 0 },
  { version: 9, format: 'apps:{comm}', comm: 'c'.repeat(15), octets: 20, field: 65, cut: 0 },
  { version: 9, format: '{command}', command: 'x'.repeat(64), octets: 64, field: 65, cut: 0 },
  { version: 9, format: '{command}', command: 'x'.repeat(65), octets: 64, field: 65, cut: 1 },
  { version: 9, format: '{command}', command: `${'x'.repeat(62)}€`, octets: 62, field: 65, cut: 1 },
  { version: 9, format: '{command}', command: `${'x'.repeat(61)}€`, octets: 64, field: 65, cut: 0 },
  { version: 10, format: '{command}', command: 'x'.repeat(254), octets: 254, cut: 0 },
  { version: 10, format: '{command}', command: 'x'.repeat(255), octets: 254, cut: 1 },
  { version: 10, format: '{command}', command: 'x'.repeat(4000), octets: 254, cut: 1 },
  { version: 10, format: '{command}', command: `${'x'.repeat(253)}ä`, octets: 253, cut: 1 },
  { version: 10, format: '{command}', command: '\u0085'.repeat(1000), octets: 254, cut: 1 },
  { version: 10, format: '{comm}+{command}', command: 'x'.repeat(300), octets: 254, cut: 1 },
] as const;

t.test('a text too long ends with its last whole character, and that is counted', async (t) => {
  for (const { version, format, octets, cut, ...row } of BOUNDS) {
    const source = { ...CURL, comm: 'comm' in row ? row.comm : 'curl' };
    const result = await exportNames({
      ...{ version, format },
      identity: { commandLine: 'command' in row ? row.command : '' },
      flows: [{ ...CURL_FLOW, source }],
    });
    const name = `${format} in version ${version}, ${octets} octets`;
    t.equal(Buffer.byteLength(result.names[0] ?? ''), octets, name);
    t.equal(result.cut, cut, name);
    if ('field' in row) t.same(result.lengths, [row.field], name);
  }
});

t.test('what one part is cut short by does not run into the next', async (t) => {
  const comm = Buffer.from('aaaaaaaaaaaaa\xe2\x82', 'latin1'); // 13 letters and two thirds of a €
  const flows = [{ ...CURL_FLOW, source: { ...CURL, comm } }];
  const { names, cut } = await exportNames({ format: '{comm}\xac/{pid}', flows });
  t.same({ names, cut }, { names: ['aaaaaaaaaaaaa\xac/1234'], cut: 0 });
});

t.test('long texts give way in short messages, all to the same limit', async (t) => {
  const nameFormat = parseProcessTextFormat('{comm} {command}');
  const { sweep, exporter, transport } = await recordExport(10, {
    templates: { profile: 'standard', nameFormat, userFormat: nameFormat },
    directory: directoryOf({ 1234: { commandLine: 'x'.repeat(400) } }),
    maxMessageOctets: 400,
  });
  await sweep([
    CURL_FLOW,
    { ...CURL_FLOW, ipVersion: 6, sourceAddress: '', destinationAddress: '' },
  ]);
  t.ok(transport.messages.every(({ length }) => length <= 400));
  const lengths = exportedRecords(transport.messages).flatMap(({ fields }) =>
    ['0/96', '0/371'].map((key) => fields.get(key)?.length),
  );
  t.equal(new Set(lengths).size, 1, lengths.join());
  t.equal(lengths.length, 4);
  t.ok(Number(lengths[0]) > 64, lengths.join());
  t.equal(exporter.statistics().truncatedFields, 4);
});

t.test('nothing is made for a record but the octets of its message', async (t) => {
  for (const format of ['{comm}', '{comm}/{pid}@{unit}']) {
    const { processes } = createEncodingContext(directoryOf({ 1234: IDENTITY }));
    const nameFormat = parseProcessTextFormat(format);
    const [encoding] = compileRecordPlan(flowTemplate(9, 'ipv4', { nameFormat })).texts;
    if (encoding === undefined) throw new Error('no text in the plan');
    const { bytes } = flowBatch([CURL_FLOW]);
    processes.moveTo(bytes, 0);
    const first = processes.text(encoding);
    processes.moveTo(bytes, 0);
    t.equal(processes.text(encoding), first, `${format}: the same buffer again`);
  }
});

t.test('a format without what the directory knows does not ask it', async (t) => {
  const directory = {
    ...DIRECTORY,
    identity: () => {
      throw new Error('was asked');
    },
  };
  const nameFormat = parseProcessTextFormat('{user}:{comm}/{pid} ({uid})');
  const { sweep, exporter } = await recordExport(9, { templates: { nameFormat }, directory });
  await sweep([CURL_FLOW, LOOPBACK_FLOW]);
  t.equal(exporter.statistics().records, 2);
});

const PRINTED = [
  { format: '{comm}', printed: 'curl' },
  { format: 'app:{comm}', printed: 'app:curl' },
  { format: '{comm}/{pid}', printed: 'curl/1234' },
  { format: '{user}:{exe}', printed: 'alice:/usr/bin/curl' },
  { format: '{containerid}', printed: CONTAINER },
  {
    format: '{command} {command} {command}',
    printed: 'curl -s http://198.51.100.2/ curl -s http://198.51.100.2/ curl -',
  },
] as const;

for (const { format, printed } of PRINTED) {
  t.test(`nfdump prints ${format} as user name`, async (t) => {
    const { sweep, transport } = await recordExport(9, {
      templates: { nameFormat: parseProcessTextFormat(format) },
      directory: directoryOf({ 1234: IDENTITY }),
    });
    await sweep([CURL_FLOW, NO_PROCESS]);
    const lines = transport.messages.map((message) => message.toString('hex')).join('\n');
    const flows = JSON.parse(await printByNfdump(t, lines)) as { user_name: string }[];
    t.equal(flows.length, 2);
    t.equal(flows[0]?.user_name, printed);
    t.equal(flows[1]?.user_name, '(unknown)');
  });
}

t.test('any format of any process is valid UTF-8 within its field', async () => {
  const text = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 300 }),
    fc.string({ unit: 'grapheme', maxLength: 40 }),
  );
  const placeholder = fc.constantFrom(...PLACEHOLDERS.map(({ format }) => format));
  const literal = text
    .filter((part) => !/["\\]|\p{Cc}|\p{Cs}/u.test(part))
    .map((part) => part.replaceAll(/[{}]/g, '$&$&'));
  const format = fc
    .array(fc.oneof({ weight: 3, arbitrary: placeholder }, literal), { minLength: 1, maxLength: 6 })
    .map((parts) => parts.join(''))
    .filter((joined) => joined !== '');
  const comm = fc.uint8Array({ minLength: 0, maxLength: 15 });
  const identity = fc.record({
    executable: text,
    commandLine: text,
    parentPid: fc.nat(),
    parentName: text,
    unit: text,
    containerId: text,
    containerRuntime: text,
    cgroupPath: text,
    podUid: text,
  });
  const property = fc.asyncProperty(
    format,
    identity,
    comm,
    fc.constantFrom(9 as const, 10 as const),
    async (format, identity, comm, version) => {
      const flows = [{ ...CURL_FLOW, source: { ...CURL, comm } }];
      const { names, lengths } = await exportNames({ version, format, identity, flows });
      const [name = ''] = names;
      if (/["\\]|\p{Cc}/u.test(name)) throw new Error(name);
      const [octets = 0] = lengths;
      if (version === 9 ? octets !== 20 && octets !== 65 : octets > 254)
        throw new Error(`${octets} octets`);
    },
  );
  await fc.assert(property, { numRuns: 300 });
});
