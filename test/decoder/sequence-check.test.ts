// What the sequence numbers say of lost messages.
import t from 'tap';
import type { DecodedMessage } from '../support/decoder/decoded-message.js';
import { MessageDecoder } from '../support/decoder/message-decoder.js';
import { SequenceCheck, sequenceGaps } from '../support/decoder/sequence-check.js';
import { IPFIX_DATA, IPFIX_TEMPLATES, V1, V5, V9_DATA, V9_TEMPLATES } from './written-messages.js';

/** Where the sequence number stands, by version. */
const OFFSET = { 5: 16, 9: 12, 10: 8 } as const;

/** The messages, with these sequence numbers. */
function numbered(
  version: 5 | 9 | 10,
  messages: readonly (readonly [Buffer, number])[],
): DecodedMessage[] {
  const decoder = new MessageDecoder();
  if (version !== 5) for (const message of [V9_TEMPLATES, IPFIX_TEMPLATES]) decoder.decode(message);
  return messages.map(([message, sequenceNumber]) => {
    const octets = Buffer.from(message);
    octets.writeUInt32BE(sequenceNumber, OFFSET[version]);
    return decoder.decode(octets);
  });
}

t.test('IPFIX counts data records, of options too, and no templates', async (t) => {
  const start = 2 ** 32 - 4;
  const messages = [
    [IPFIX_TEMPLATES, start],
    [IPFIX_DATA, start],
    [IPFIX_TEMPLATES, start + 3],
    [IPFIX_DATA, start + 3],
    [IPFIX_DATA, 2],
  ] as const;
  t.same(sequenceGaps(numbered(10, messages)), []);
  t.same(
    sequenceGaps(
      numbered(10, [
        [IPFIX_DATA, 0],
        [IPFIX_DATA, 5],
      ]),
    ),
    [{ version: 10, observationDomainId: 3, expected: 3, sequenceNumber: 5, missing: 2 }],
  );
});

t.test('v9 counts messages', async (t) => {
  const messages = [
    [V9_TEMPLATES, 2 ** 32 - 1],
    [V9_DATA, 0],
    [V9_DATA, 1],
  ] as const;
  t.same(sequenceGaps(numbered(9, messages)), []);
  t.same(
    sequenceGaps(
      numbered(9, [
        [V9_DATA, 7],
        [V9_DATA, 9],
      ]),
    ),
    [{ version: 9, observationDomainId: 3, expected: 8, sequenceNumber: 9, missing: 1 }],
  );
});

t.test('v5 counts flows', async (t) => {
  t.same(
    sequenceGaps(
      numbered(5, [
        [V5, 42],
        [V5, 44],
      ]),
    ),
    [],
  );
  t.match(
    sequenceGaps(
      numbered(5, [
        [V5, 42],
        [V5, 43],
      ]),
    ),
    [{ version: 5, observationDomainId: 0x0102, expected: 44, sequenceNumber: 43, missing: -1 }],
  );
});

t.test('v1 counts nothing', async (t) => {
  const message = new MessageDecoder().decode(V1);
  t.same(sequenceGaps([message, message]), []);
});

t.test('messages that come late cancel out', async (t) => {
  const numbers = [0, 1, 3, 2, 4].map((number) => [V9_DATA, number] as const);
  const missing = sequenceGaps(numbered(9, numbers)).map((gap) => gap.missing);
  t.same(missing, [1, -2, 1]);
});

t.test('each sender and observation domain has its numbers', async (t) => {
  const check = new SequenceCheck();
  const [message, next] = numbered(9, [
    [V9_DATA, 7],
    [V9_DATA, 9],
  ]) as [DecodedMessage, DecodedMessage];
  t.equal(check.check(message, 'a'), undefined);
  t.equal(check.check(next, 'b'), undefined);
  t.equal(check.check({ ...next, observationDomainId: 4 }, 'a'), undefined);
  t.match(check.check(next, 'a'), { missing: 1 });
});

t.test('behind data without a template no IPFIX number is expected', async (t) => {
  const decoder = new MessageDecoder();
  const unknown = decoder.decode(IPFIX_DATA);
  decoder.decode(IPFIX_TEMPLATES);
  const known = decoder.decode(IPFIX_DATA);
  const later = { ...known, sequenceNumber: 100 };
  t.same(sequenceGaps([unknown, later, { ...known, sequenceNumber: 104 }]), [
    { version: 10, observationDomainId: 3, expected: 103, sequenceNumber: 104, missing: 1 },
  ]);
});
