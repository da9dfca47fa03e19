// What the octets of a field mean.
import fc from 'fast-check';
import t from 'tap';
import type { DecodeErrorCode } from '../support/decoder/decode-error.js';
import * as values from '../support/decoder/field-values.js';
import { hex } from '../support/packet-bytes.js';

const { addressText, ntpTimeNs, text, truth, unixTime, unsigned, unsigned64, uptimeEpochMs } =
  values;

const READ: readonly { read: (value: Buffer) => unknown; octets: string; expected: unknown }[] = [
  { read: unsigned, octets: '00', expected: 0 },
  { read: unsigned, octets: '0011d7', expected: 4567 },
  { read: unsigned, octets: '001fffffffffffff', expected: Number.MAX_SAFE_INTEGER },
  { read: unsigned64, octets: 'ffffffffffffffff', expected: 2n ** 64n - 1n },
  { read: truth, octets: '01', expected: true },
  { read: truth, octets: '02', expected: false },
  { read: text, octets: '', expected: '' },
  { read: text, octets: '6375726c00000000', expected: 'curl' },
  { read: text, octets: 'c3b600c3b6', expected: 'ö\0ö' },
  { read: text, octets: 'efbbbf61', expected: '\ufeffa' },
  { read: addressText, octets: 'c0000201', expected: '192.0.2.1' },
  { read: addressText, octets: '20010db8000000000000000000000001', expected: '2001:db8::1' },
  { read: addressText, octets: '00000000000000000000000000000000', expected: '::' },
  { read: addressText, octets: '02000000000a', expected: '02:00:00:00:00:0a' },
  { read: unixTime, octets: '65938b35', expected: 1_704_168_245 },
  { read: unixTime, octets: '0000018cc857a0f2', expected: 1_704_168_235_250 },
  { read: ntpTimeNs, octets: '83aa7e8000000000', expected: 0n },
  { read: ntpTimeNs, octets: 'e93e09b580000000', expected: 1_704_168_245_500_000_000n },
  { read: ntpTimeNs, octets: '0000000000000000', expected: 2_085_978_496_000_000_000n }, // 2036
];

for (const { read, octets, expected } of READ) {
  t.test(`${read.name} reads ${octets}`, async (t) => {
    t.equal(read(hex(octets)), expected);
  });
}

const REFUSED: readonly {
  read: (value: Buffer | undefined) => unknown;
  octets: string | undefined;
  code: DecodeErrorCode;
}[] = [
  { read: unsigned, octets: undefined, code: 'absent-value' },
  { read: text, octets: undefined, code: 'absent-value' },
  { read: unsigned, octets: '', code: 'bad-value' },
  { read: unsigned, octets: '000000000000000000', code: 'bad-value' },
  { read: unsigned, octets: '0020000000000000', code: 'bad-value' },
  { read: truth, octets: '00', code: 'bad-value' },
  { read: text, octets: 'ff', code: 'bad-value' },
  { read: text, octets: 'eda080', code: 'bad-value' },
  { read: addressText, octets: '7f0001', code: 'bad-value' },
  { read: unixTime, octets: '000000', code: 'bad-value' },
  { read: ntpTimeNs, octets: 'e93e09b5', code: 'bad-value' },
];

for (const { read, octets, code } of REFUSED) {
  t.test(`${read.name} refuses ${octets ?? 'what is not there'}`, async (t) => {
    t.throws(() => read(octets === undefined ? undefined : hex(octets)), {
      name: 'DecodeError',
      code,
    });
  });
}

t.test('a nanosecond survives the format of NTP, rounded either way', async () => {
  const property = fc.property(
    fc.bigInt({ min: 0n, max: 999_999_999n }),
    fc.boolean(),
    (ns, isUp) => {
      const exact = ns << 32n;
      const fraction = (exact + (isUp ? 999_999_999n : 0n)) / 1_000_000_000n;
      const octets = Buffer.alloc(8);
      octets.writeUInt32BE(0xe93e09b5, 0);
      octets.writeUInt32BE(Number(fraction), 4);
      return ntpTimeNs(octets) === 1_704_168_245_000_000_000n + ns;
    },
  );
  fc.assert(property);
});

t.test('a sysUptime becomes a time, before and after it wraps', async (t) => {
  const header = (sysUptimeMs: number): Parameters<typeof uptimeEpochMs>[0] => ({
    version: 9,
    exportTime: 1000,
    exportNanoseconds: 0,
    sequenceNumber: 0,
    observationDomainId: 0,
    sysUptimeMs,
  });
  t.equal(uptimeEpochMs(header(5000), hex('00000fa0')), 999_000);
  t.equal(uptimeEpochMs(header(5000), hex('00001770')), 1_001_000, 'later than the message');
  t.equal(uptimeEpochMs(header(500), hex('fffffe0c')), 999_000, 'the uptime has wrapped since');
  t.equal(uptimeEpochMs(header(4_000_000_000), hex('00000000')), 1_000_000 - 4_000_000_000);
  const { sysUptimeMs, ...ipfix } = header(0);
  t.throws(() => uptimeEpochMs(ipfix, hex('00000000')), { code: 'bad-value' });
  t.equal(sysUptimeMs, 0);
});
