// What records say of processes is kept while a batch is encoded: it must be what each record alone would say.
import fc from 'fast-check';
import t from 'tap';
import type { TemplateProfile } from '../../../src/templates/flow-fields.js';
import { CURL_FLOW, PING_FLOW } from '../../support/described-flows.js';
import { exportedRecords } from '../../support/exported-messages.js';
import type { FlowDescription, ProcessDescription } from '../../support/flow-description.js';
import { directoryOf, recordExport } from '../../support/recorded-export.js';

const LONG = 'an argument '.repeat(60);
const DIRECTORY = directoryOf({
  1: { commandLine: 'one', parentPid: 7, parentName: 'bash' },
  2: { commandLine: LONG, containerId: '0123456789abcdef'.repeat(4) },
});
const { sourceAddress, destinationAddress } = CURL_FLOW;
const UNOWNED_FLOW = { ...PING_FLOW, protocol: 17, sourceAddress, destinationAddress };
/** Few of each, so that all but one thing is often the same. */
const somebody: fc.Arbitrary<ProcessDescription> = fc.record({
  pid: fc.constantFrom(1, 2, 3),
  uid: fc.constantFrom(0, 33, 77),
  comm: fc.constantFrom('curl', 'curl2', 'a "quoted" one'),
});
const flow: fc.Arbitrary<FlowDescription> = fc
  .record({
    ipVersion: fc.constantFrom(4 as const, 6 as const),
    direction: fc.constantFrom('ingress' as const, 'egress' as const),
    flags: fc.subarray(['FLOW_LOOPBACK'] as const),
    packets: fc.bigInt({ min: 1n, max: 1000n }),
    source: fc.option(somebody, { nil: undefined }),
    destination: fc.option(somebody, { nil: undefined }),
  })
  .map(({ source, destination, ...rest }) => ({
    ...(rest.ipVersion === 4 ? UNOWNED_FLOW : PING_FLOW),
    ...rest,
    ...(source !== undefined && { source }),
    ...(destination !== undefined && { destination }),
  }));

async function fieldsOf(
  version: 9 | 10,
  profile: TemplateProfile,
  sweeps: readonly (readonly FlowDescription[])[],
): Promise<{ readonly records: string[]; readonly cut: number }> {
  const { sweep, transport, exporter } = await recordExport(version, {
    templates: { profile },
    directory: DIRECTORY,
  });
  for (const flows of sweeps) await sweep(flows);
  await exporter.close();
  const records = exportedRecords(transport.messages).map(({ template, values }) =>
    [template.id, ...values.map((value) => value.toString('hex'))].join(' '),
  );
  return { records, cut: exporter.statistics().truncatedFields };
}

for (const version of [9, 10] as const) {
  for (const profile of ['process', 'full'] as const) {
    t.test(`v${version}, ${profile}: together as each alone`, async (t) => {
      await fc.assert(
        fc.asyncProperty(fc.array(flow, { maxLength: 30 }), async (flows) => {
          const together = await fieldsOf(version, profile, [flows]);
          const alone = await fieldsOf(
            version,
            profile,
            flows.map((one) => [one]),
          );
          t.same(together.records.sort(), alone.records.sort());
          t.equal(together.cut, alone.cut);
        }),
        { numRuns: 25 },
      );
    });
  }
}
