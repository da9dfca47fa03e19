// Whatever the records: no message is longer than was allowed, and what does not fit into its field is
// cut between two characters and counted.
import fc from 'fast-check';
import t from 'tap';
import { text } from '../../support/decoder/field-values.js';
import { sequenceGaps } from '../../support/decoder/sequence-check.js';
import { CURL_FLOW, LOOPBACK_FLOW, PING_FLOW } from '../../support/described-flows.js';
import { decodeExport, exportedRecords } from '../../support/exported-messages.js';
import type { FlowDescription } from '../../support/flow-description.js';
import { METERING_STATUS, directoryOf, recordExport } from '../../support/recorded-export.js';

const CASES = [
  { version: 1, templates: {} },
  { version: 5, templates: {} },
  { version: 9, templates: { profile: 'standard' } },
  { version: 9, templates: { profile: 'process' } },
  { version: 9, templates: { profile: 'full' } },
  { version: 10, templates: { profile: 'standard' } },
  { version: 10, templates: { profile: 'process' } },
  { version: 10, templates: { profile: 'full' } },
  { version: 10, templates: { profile: 'process', isBiflow: true } },
  { version: 10, templates: { profile: 'full', isBiflow: true } },
] as const;
/** The least that the longest record of all, and the longest template, fit into. */
const LEAST_OCTETS = 1024;

const anyText = fc.string({ unit: 'binary', maxLength: 700 });
const identity = fc.record({ commandLine: anyText, containerId: anyText, parentName: anyText });
const flow: fc.Arbitrary<FlowDescription> = fc
  .record({
    like: fc.constantFrom(CURL_FLOW, PING_FLOW, LOOPBACK_FLOW),
    sourcePort: fc.integer({ min: 0, max: 65535 }),
    packets: fc.integer({ min: 0, max: 2 ** 34 }),
    comm: fc.uint8Array({ minLength: 16, maxLength: 16 }),
    pid: fc.constantFrom(5, 6, 1234),
  })
  .map(({ like, comm, pid, ...rest }) => ({ ...like, ...rest, source: { pid, uid: 0, comm } }));

for (const { version, templates } of CASES) {
  const name = `version ${version} ${Object.values(templates).join()}`;
  t.test(`no message is longer than was allowed: ${name}`, async () => {
    const property = fc.asyncProperty(
      fc.array(flow, { minLength: 20, maxLength: 60 }),
      fc.integer({ min: LEAST_OCTETS, max: 2000 }),
      identity,
      async (flows, maxMessageOctets, known) => {
        const { sweep, exporter, transport } = await recordExport(version, {
          ...{ templates, maxMessageOctets, status: METERING_STATUS },
          directory: directoryOf({ 5: known, 6: known, 1234: known }),
        });
        await sweep(flows);
        await exporter.close();
        const longest = Math.max(0, ...transport.messages.map(({ length }) => length));
        if (longest > maxMessageOctets) throw new Error(`${longest} octets`);
        if (sequenceGaps(decodeExport(transport.messages)).length > 0) throw new Error('gap');
      },
    );
    await fc.assert(property, { numRuns: 80 });
  });
}

for (const [version, key, whole] of [
  // 128 octets: one of "a" and 63 times two, and no half of the next
  [9, '0/58028', `a${'é'.repeat(63)}`],
  // 512 octets
  [10, '35632/556', `a${'é'.repeat(255)}`],
] as const) {
  t.test(`version ${version}: a field is cut between characters, and counted`, async (t) => {
    const commandLine = `a${'é'.repeat(400)}`;
    const { sweep, exporter, transport } = await recordExport(version, {
      ...{ templates: { profile: 'full' }, directory: directoryOf({ 1234: { commandLine } }) },
      // Room for the longest: shorter messages cut them shorter.
      maxMessageOctets: 4096,
    });
    await sweep([CURL_FLOW, { ...CURL_FLOW, source: { pid: 77, uid: 0, comm: 'short' } }]);
    const [record] = exportedRecords(transport.messages);
    t.equal(text(record?.fields.get(key)), whole);
    t.equal(exporter.statistics().truncatedFields, 1);
  });
}
