// Times in micro- and nanoseconds: exact to the unit, for any uptime and time of day.
import fc from 'fast-check';
import t from 'tap';
import { bootEpochOf, type BootEpoch } from '../../../src/flow/clock.js';
import type { TimePrecision } from '../../../src/templates/flow-fields.js';
import { ntpTimeNs } from '../../support/decoder/field-values.js';
import { CURL_FLOW } from '../../support/described-flows.js';
import { exportedRecords } from '../../support/exported-messages.js';
import { FakeClock, recordExport } from '../../support/recorded-export.js';

const START = { microseconds: '0/154', nanoseconds: '0/156' } as const;
const END = { microseconds: '0/155', nanoseconds: '0/157' } as const;
type NtpPrecision = Exclude<TimePrecision, 'milliseconds'>;

/** A boot epoch to the nanosecond. */
class ExactClock extends FakeClock {
  epochNs = 0n;
  override bootEpoch(): BootEpoch {
    return bootEpochOf(this.epochNs);
  }
}

interface Times {
  readonly epochNs: bigint;
  readonly firstNs: bigint;
  readonly lastNs: bigint;
}

async function exported(timePrecision: NtpPrecision, { epochNs, firstNs, lastNs }: Times) {
  const clock = new ExactClock();
  clock.epochNs = epochNs;
  const templates = { timePrecision };
  const { sweep, transport, exporter } = await recordExport(10, { clock, templates });
  await sweep([{ ...CURL_FLOW, firstNs, lastNs }]);
  await exporter.close();
  const fields = exportedRecords(transport.messages)[0]?.fields;
  return [fields?.get(START[timePrecision]), fields?.get(END[timePrecision])] as const;
}

t.test('the fraction of a second is in units of 2^-32, rounded up', async (t) => {
  // 2024-01-02 03:04:05 UTC, and from there 1 s and 1 ns, 2.5 s
  const times = { epochNs: 1_704_164_645_000_000_000n, firstNs: 1_000_000_001n };
  const [start, end] = await exported('nanoseconds', { ...times, lastNs: 2_500_000_000n });
  // 1704164646 + 2208988800 = 0xe93dfba6; a nanosecond is 4.29 units
  t.equal(start?.toString('hex'), 'e93dfba6' + '00000005');
  t.equal(end?.toString('hex'), 'e93dfba7' + '80000000');
});

t.test('in microseconds the lowest 11 bits are zero', async (t) => {
  const times = { epochNs: 1_704_164_645_000_000_000n, firstNs: 1_000_001_999n };
  const [start] = await exported('microseconds', { ...times, lastNs: 2_000_000_000n });
  // a microsecond is 4294.97 units: three times 2048 is the next that is not below
  t.equal(start?.toString('hex'), 'e93dfba6' + '00001800');
});

t.test('any time comes out exactly, also after years of uptime', async () => {
  const YEAR_NS = 31_557_600_000_000_000n;
  // To the end of the NTP era that a reader takes for this one (2104), and four years of uptime.
  const epochNs = fc.bigInt(0n, 130n * YEAR_NS);
  const uptimeNs = fc.oneof(
    fc.bigInt(0n, 4n * YEAR_NS),
    // Either side of 2^53 ns, 104 days.
    fc.bigInt(2n ** 53n - 1000n, 2n ** 53n + 1000n),
    // Before, at and after whole seconds and 2^32 ns.
    fc
      .tuple(
        fc.bigInt(1n, 30_000_000n),
        fc.constantFrom(1_000_000_000n, 2n ** 32n),
        fc.bigInt(-2n, 2n),
      )
      .map(([times, unit, off]) => times * unit + off),
  );
  await fc.assert(
    fc.asyncProperty(epochNs, uptimeNs, async (epochNs, firstNs) => {
      const lastNs = firstNs + 1n;
      const [start, end] = await exported('nanoseconds', { epochNs, firstNs, lastNs });
      if (ntpTimeNs(start) !== epochNs + firstNs || ntpTimeNs(end) !== epochNs + lastNs) {
        throw new Error(`${ntpTimeNs(start)} and ${ntpTimeNs(end)}`);
      }
      const [inMicroseconds] = await exported('microseconds', { epochNs, firstNs, lastNs });
      if (((inMicroseconds?.readUInt32BE(4) ?? 1) & 0x7ff) !== 0) throw new Error('low bits');
      if (ntpTimeNs(inMicroseconds) / 1000n !== (epochNs + firstNs) / 1000n) {
        throw new Error(`${ntpTimeNs(inMicroseconds)} in microseconds`);
      }
    }),
    { numRuns: 300 },
  );
});
