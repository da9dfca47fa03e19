// Messages that the standards do not allow, each with the error that says so.
import t, { type Test } from 'tap';
import { DecodeError, type DecodeErrorCode } from '../support/decoder/decode-error.js';
import type { DecodedMessage } from '../support/decoder/decoded-message.js';
import { MessageDecoder } from '../support/decoder/message-decoder.js';
import { hex } from '../support/packet-bytes.js';
import { V1, V5, ipfix, netflowV9 } from './written-messages.js';

interface Malformed {
  readonly name: string;
  readonly message: Buffer;
  readonly code: DecodeErrorCode;
  readonly offset: number;
  readonly rule?: string;
}

/** A template of two octets and one string, or of IPv4 addresses. */
const STRING = '0002 0010 0100 0002 0007 0002 0060 ffff';
const ADDRESS_V9 = '0000 000c 0100 0001 0008 0004';

/** No collector can read these. */
const UNREADABLE: readonly Malformed[] = [
  { name: 'nothing', message: hex(''), code: 'truncated', offset: 0 },
  { name: 'one octet', message: hex('00'), code: 'truncated', offset: 0 },
  { name: 'NetFlow v7', message: hex('0007 0001'), code: 'unknown-version', offset: 0 },
  { name: 'half a v9 header', message: hex('0009 0001 0000'), code: 'truncated', offset: 4 },
  { name: 'half a v5 header', message: V5.subarray(0, 21), code: 'truncated', offset: 20 },
  { name: 'v5 with half a record', message: V5.subarray(0, 100), code: 'truncated', offset: 24 },
  { name: 'v1 with half a record', message: V1.subarray(0, 100), code: 'truncated', offset: 16 },
  {
    name: 'an IPFIX message shorter than its header',
    message: withLength(ipfix(), 15),
    code: 'bad-length',
    offset: 2,
    rule: '§3.1',
  },
  {
    name: 'an IPFIX message shorter than it says',
    message: withLength(ipfix(), 17),
    code: 'truncated',
    offset: 16,
  },
  {
    name: 'octets behind an IPFIX message',
    message: withLength(ipfix('0002 0004'), 16),
    code: 'trailing-octets',
    offset: 16,
  },
  { name: 'half a set header', message: ipfix('0002'), code: 'truncated', offset: 18 },
  {
    name: 'a set that would end in its header',
    message: ipfix('0002 0003'),
    code: 'bad-length',
    offset: 18,
    rule: '§3.3.1',
  },
  {
    name: 'a set of length zero, which would never end',
    message: netflowV9(0, '0000 0000'),
    code: 'bad-length',
    offset: 22,
  },
  { name: 'a set behind the message', message: ipfix('0002 0005'), code: 'truncated', offset: 20 },
  {
    name: 'a template id below 256',
    message: ipfix('0002 000c 00ff 0001 0004 0001'),
    code: 'bad-template',
    offset: 20,
    rule: '§3.4.1',
  },
  {
    name: 'more fields than octets',
    message: ipfix('0002 000c 0100 0002 0004 0001'),
    code: 'truncated',
    offset: 28,
  },
  {
    name: 'an enterprise bit without its number',
    message: ipfix('0002 000c 0100 0001 80a8 0004'),
    code: 'truncated',
    offset: 28,
  },
  {
    name: 'a template whose records have no octets',
    message: ipfix('0002 000c 0100 0001 0004 0000'),
    code: 'bad-template',
    offset: 20,
  },
  {
    name: 'a v9 template without fields',
    message: netflowV9(1, '0000 0008 0100 0000'),
    code: 'bad-template',
    offset: 24,
  },
  {
    name: 'an options template without scope',
    message: ipfix('0003 000e 0100 0001 0000 0029 0008'),
    code: 'bad-template',
    offset: 22,
    rule: '§3.4.2.2',
  },
  {
    name: 'more scopes than fields',
    message: ipfix('0003 000e 0100 0001 0002 0029 0008'),
    code: 'bad-template',
    offset: 22,
  },
  {
    name: 'v9 scopes that are not four octets each',
    message: netflowV9(1, '0001 0010 0100 0003 0004 0001 0004 0022'),
    code: 'bad-template',
    offset: 26,
    rule: 'RFC 3954 §6.1',
  },
  {
    name: 'a withdrawal of what is no template',
    message: ipfix('0002 0008 0003 0000'),
    code: 'bad-template',
    offset: 20,
    rule: '§8.1',
  },
  {
    name: 'a string that is longer than its set',
    message: ipfix(STRING, '0100 0008 01bb 02 61'),
    code: 'truncated',
    offset: 39,
  },
  {
    name: 'a long length cut off',
    message: ipfix(STRING, '0100 0008 01bb ff 00'),
    code: 'truncated',
    offset: 39,
  },
];

/** A collector can pass over these; in strict mode they are errors. */
const FORBIDDEN: readonly Malformed[] = [
  {
    name: 'a set id that is reserved',
    message: ipfix('00ff 0005 00'),
    code: 'bad-set-id',
    offset: 16,
    rule: 'RFC 7011 §3.3.2',
  },
  {
    name: "v9's template set id in IPFIX",
    message: ipfix('0000 000c 0100 0001 0004 0001'),
    code: 'bad-set-id',
    offset: 16,
    rule: 'RFC 7011 §3.3.2',
  },
  {
    name: "IPFIX's template set id in v9",
    message: netflowV9(1, '0002 000c 0100 0001 0004 0001'),
    code: 'bad-set-id',
    offset: 20,
    rule: 'RFC 3954 §5.2',
  },
  {
    name: 'a template set without a template',
    message: ipfix('0002 0004'),
    code: 'empty-set',
    offset: 16,
  },
  {
    name: 'a data set without a record',
    message: ipfix(STRING, '0100 0006 0000'),
    code: 'empty-set',
    offset: 32,
    rule: 'RFC 7011 §3.3.1',
  },
  {
    name: 'data without a template',
    message: ipfix('0100 0005 00'),
    code: 'unknown-template',
    offset: 16,
  },
  {
    name: 'padding that is not zero',
    message: ipfix('0002 000c 0100 0001 0008 0004', '0100 000a 7f000001 0001'),
    code: 'bad-padding',
    offset: 36,
    rule: 'RFC 7011 §3.3.1',
  },
  {
    name: 'padding behind a template that could be one',
    message: ipfix('0002 0010 0100 0001 0004 0001 00000000'),
    code: 'bad-padding',
    offset: 28,
    rule: 'RFC 7011 §3.3.1',
  },
  {
    name: 'v9 padding beyond the next four octets',
    message: netflowV9(2, '0000 000c 0100 0001 0038 0006', '0100 000e 020000000001 00000000'),
    code: 'bad-padding',
    offset: 42,
    rule: 'RFC 3954 §5.3',
  },
  {
    name: 'a v9 count of the data records only',
    message: netflowV9(1, ADDRESS_V9, '0100 0008 7f000001'),
    code: 'bad-count',
    offset: 2,
    rule: 'RFC 3954 §5.1',
  },
  {
    name: 'v5 without a flow',
    message: withLength(V5.subarray(0, 24), 0),
    code: 'bad-count',
    offset: 2,
  },
  {
    name: 'v5 with unused octets in use',
    message: Buffer.concat([V5.subarray(0, -1), hex('01')]),
    code: 'bad-padding',
    offset: 72,
  },
  {
    name: 'a withdrawal over UDP',
    message: ipfix('0002 000c 0100 0001 0004 0001', '0002 0008 0100 0000'),
    code: 'bad-withdrawal',
    offset: 32,
    rule: '§8.4',
  },
];

/** The message with something else where IPFIX has the length, and the others the count. */
function withLength(message: Buffer, length: number): Buffer {
  const copy = Buffer.from(message);
  copy.writeUInt16BE(length, 2);
  return copy;
}

/** Reads a message that others must not change. */
function decode(
  message: Buffer,
  options: { isStrict: boolean; isStream?: boolean },
): DecodedMessage {
  return new MessageDecoder(options).decode(message);
}

function checkError(t: Test, malformed: Malformed, isStrict: boolean): void {
  const { message, code, offset, rule = '' } = malformed;
  try {
    decode(message, { isStrict });
    t.fail('it was read');
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    t.match(error, { name: 'DecodeError', code, offset }, error.message);
    t.ok(error.message.includes(rule), error.message);
    t.ok(error.message.startsWith(error.operation));
  }
}

for (const malformed of UNREADABLE) {
  t.test(`unreadable: ${malformed.name}`, async (t) => {
    checkError(t, malformed, false);
    checkError(t, malformed, true);
  });
}

for (const malformed of FORBIDDEN) {
  t.test(`forbidden: ${malformed.name}`, async (t) => {
    t.ok(decode(malformed.message, { isStrict: false }));
    checkError(t, malformed, true);
  });
}

t.test('forbidden in a stream: other fields under the id of a template', async (t) => {
  const message = ipfix('0002 000c 0100 0001 0004 0001', '0002 000c 0100 0001 0004 0002');
  t.throws(() => decode(message, { isStrict: true, isStream: true }), {
    code: 'template-redefined',
    offset: 32,
    message: /RFC 7011 §8/,
  });
  t.equal(decode(message, { isStrict: true }).templates.length, 2, 'over UDP it may change');
  const again = ipfix('0002 000c 0100 0001 0004 0001', '0002 000c 0100 0001 0004 0001');
  t.equal(decode(again, { isStrict: true, isStream: true }).templates.length, 2);
});
