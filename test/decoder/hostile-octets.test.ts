// Whatever octets come, the decoder gives a message or a DecodeError, soon and in little memory.
import fc from 'fast-check';
import t from 'tap';
import { DecodeError } from '../support/decoder/decode-error.js';
import { MessageDecoder } from '../support/decoder/message-decoder.js';
import { MessageSplitter } from '../support/decoder/message-splitter.js';
import { attempt } from './attempt.js';
import {
  IPFIX_DATA,
  IPFIX_TEMPLATES,
  V9_DATA,
  V9_TEMPLATES,
  WRITTEN_MESSAGES,
  ipfix,
} from './written-messages.js';

const MODES = [false, true].flatMap((isStrict) =>
  [false, true].map((isStream) => ({ isStrict, isStream })),
);
/** The number of values that a message may have. */
const MAX_VALUES = 131_072;

/** Decoders of each mode that know the templates of the written messages. */
function experienced(): MessageDecoder[] {
  return MODES.map((mode) => {
    const decoder = new MessageDecoder(mode);
    for (const message of [V9_TEMPLATES, IPFIX_TEMPLATES]) decoder.decode(message);
    return decoder;
  });
}

const anyOctets = (maxLength: number): fc.Arbitrary<Buffer> =>
  fc.uint8Array({ maxLength }).map((bytes) => Buffer.from(bytes));

t.test('any octets', async () => {
  const property = fc.property(anyOctets(300), (octets) => {
    for (const mode of MODES) attempt(new MessageDecoder(mode), octets);
  });
  fc.assert(property, { numRuns: 2000 });
});

t.test('any sets behind a header of each version', async () => {
  const setId = fc.oneof(fc.integer({ min: 0, max: 4 }), fc.constantFrom(256, 257), fc.nat(65535));
  const set = fc.record({
    setId,
    body: anyOctets(60),
    excess: fc.constantFrom(0, 0, 0, 0, 1, -1, 300),
  });
  const sets = fc.array(set, { maxLength: 6 });
  const property = fc.property(fc.constantFrom(V9_DATA, IPFIX_DATA), sets, (template, sets) => {
    const header = template.subarray(0, template[1] === 9 ? 20 : 16);
    const parts = sets.map(({ setId, body, excess }) => {
      const head = Buffer.alloc(4);
      head.writeUInt16BE(setId, 0);
      head.writeUInt16BE(Math.max(0, 4 + body.length + excess), 2);
      return Buffer.concat([head, body]);
    });
    const octets = Buffer.concat([header, ...parts]);
    if (octets[1] === 10) octets.writeUInt16BE(octets.length, 2);
    for (const decoder of experienced()) attempt(decoder, octets);
  });
  fc.assert(property, { numRuns: 2000 });
});

t.test('messages with some octets changed, and what comes after them', async () => {
  const change = fc.tuple(
    fc.nat(),
    fc.oneof(fc.nat(255), fc.constantFrom(0, 1, 127, 128, 254, 255)),
  );
  const changes = fc.array(change, { minLength: 1, maxLength: 8 });
  const property = fc.property(
    fc.constantFrom(...WRITTEN_MESSAGES),
    changes,
    (written, changes) => {
      const octets = Buffer.from(written);
      for (const [at, octet] of changes) octets[at % octets.length] = octet;
      for (const decoder of experienced()) {
        attempt(decoder, octets);
        for (const message of WRITTEN_MESSAGES) attempt(decoder, message);
      }
    },
  );
  fc.assert(property, { numRuns: 2000 });
});

t.test('messages cut off at each octet are errors, but for v9 between its sets', async (t) => {
  const readable: string[] = [];
  for (const written of WRITTEN_MESSAGES) {
    for (let length = 0; length < written.length; length++) {
      const decoder = new MessageDecoder({ isStream: true });
      for (const message of [V9_TEMPLATES, IPFIX_TEMPLATES]) decoder.decode(message);
      const result = attempt(decoder, written.subarray(0, length));
      if (result instanceof DecodeError) continue;
      readable.push(`v${result.version} ${length}`);
      t.throws(() => new MessageDecoder({ isStrict: true }).decode(written.subarray(0, length)));
    }
  }
  t.same(readable, ['v9 20', 'v9 52', 'v9 20', 'v9 76']);
});

t.test('any octets in a stream give messages of their length or a DecodeError', async () => {
  const chunk = fc.oneof(anyOctets(40), fc.constantFrom(...WRITTEN_MESSAGES));
  const property = fc.property(fc.array(chunk, { maxLength: 8 }), (chunks) => {
    const splitter = new MessageSplitter();
    try {
      for (const chunk of chunks) {
        for (const message of splitter.push(chunk)) {
          if (message.readUInt16BE(2) !== message.length) throw new Error('length');
        }
      }
      splitter.end();
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
    }
  });
  fc.assert(property, { numRuns: 1000 });
});

t.test('fields without octets cannot make a small message large', async (t) => {
  // 16,000 fields of no octets and one of one: 16,001 values an octet of data.
  const fields = '0001 0000'.repeat(16_000);
  const setOctets = (4 + 4 + 4 * 16_001).toString(16);
  const template = ipfix(`0002 ${setOctets} 0100 3e81 0004 0001`, fields);
  const decoder = new MessageDecoder();
  t.equal(decoder.decode(template).templates.length, 1);
  const records = Math.floor(MAX_VALUES / 16_001);
  const data = (count: number): Buffer =>
    ipfix(`0100 ${(4 + count).toString(16).padStart(4, '0')}`, '06'.repeat(count));
  t.equal(decoder.decode(data(records)).records.length, records);
  t.match(attempt(decoder, data(records + 1)), { code: 'too-many-values' });
  t.match(attempt(decoder, data(60_000)), { code: 'too-many-values' });
});

t.test('the longest messages of the shortest records, sets and templates are read', async (t) => {
  const short = new MessageDecoder();
  short.decode(ipfix('0002 000c 0100 0001 0060 ffff'));
  const records = attempt(short, ipfix('0100 ffe8', '00'.repeat(0xffe4)));
  t.match(records, { records: { length: 0xffe4 } });
  const sets = attempt(short, ipfix('0100 0005 00'.repeat(13_000)));
  t.match(sets, { records: { length: 13_000 } });
  const withdrawals = '0002 000c 0100 0001 0004 0001 0002 0008 0002 0000'.repeat(3200);
  t.match(attempt(new MessageDecoder({ isStream: true }), ipfix(withdrawals)), {
    withdrawals: { length: 3200 },
  });
});
