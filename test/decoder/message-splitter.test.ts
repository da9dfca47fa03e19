// IPFIX messages found in a stream of octets.
import { once } from 'node:events';
import { connect, createServer, type AddressInfo } from 'node:net';
import fc from 'fast-check';
import t from 'tap';
import { MessageSplitter, splitMessages } from '../support/decoder/message-splitter.js';
import { hex } from '../support/packet-bytes.js';
import { IPFIX_DATA, IPFIX_TEMPLATES, IPFIX_WITHDRAWAL, V5, ipfix } from './written-messages.js';

const MESSAGES = [IPFIX_TEMPLATES, IPFIX_DATA, IPFIX_WITHDRAWAL];

t.test('however a stream is cut, its messages are found', async () => {
  const stream = Buffer.concat(MESSAGES);
  const cuts = fc.array(fc.nat(stream.length), { maxLength: 20 });
  const property = fc.property(cuts, (cuts) => {
    const splitter = new MessageSplitter();
    const found: Buffer[] = [];
    let from = 0;
    for (const to of [...cuts.sort((a, b) => a - b), stream.length]) {
      found.push(...splitter.push(stream.subarray(from, to)));
      from = to;
    }
    splitter.end();
    return (
      found.length === 3 &&
      found.every((message, i) => message.equals(MESSAGES[i] ?? message.subarray(1)))
    );
  });
  fc.assert(property);
});

t.test('octet by octet, with the shortest and the longest message', async (t) => {
  const longest = ipfix('0100 ffef', '00'.repeat(0xffeb));
  const expected = [ipfix(), longest, ipfix()];
  const splitter = new MessageSplitter();
  const found = Array.from(Buffer.concat(expected), (octet) => [
    ...splitter.push(Buffer.from([octet])),
  ]).flat();
  t.same(
    found.map(({ length }) => length),
    [16, 65_535, 16],
  );
  t.ok(found[1]?.equals(longest));
  splitter.end();
});

t.test('a message is a copy: the chunk may be reused', async (t) => {
  const chunk = Buffer.from(IPFIX_WITHDRAWAL);
  const [message] = new MessageSplitter().push(chunk);
  chunk.fill(0);
  t.ok(message?.equals(IPFIX_WITHDRAWAL));
});

t.test('where no message can start the stream has failed, behind those before it', async (t) => {
  for (const [next, code] of [
    [V5, 'unknown-version'],
    [hex('000a 000f'), 'bad-length'],
  ] as const) {
    const splitter = new MessageSplitter();
    const found: Buffer[] = [];
    const read = (chunk: Buffer): void => {
      for (const message of splitter.push(chunk)) found.push(message);
    };
    t.throws(() => read(Buffer.concat([IPFIX_WITHDRAWAL, next])), { name: 'DecodeError', code });
    t.equal(found.length, 1);
    t.throws(() => read(IPFIX_WITHDRAWAL), { code }, 'and nothing is found after it');
  }
});

t.test('a stream that ends within a message is an error', async (t) => {
  for (const octets of [1, 3, 4, 5, 15, 23]) {
    const splitter = new MessageSplitter();
    t.same([...splitter.push(IPFIX_WITHDRAWAL.subarray(0, octets))], []);
    t.throws(() => splitter.end(), { code: 'truncated', offset: octets });
  }
});

t.test('messages over a real connection', async (t) => {
  const server = createServer((socket) => {
    for (const message of MESSAGES) {
      socket.write(message.subarray(0, 10));
      socket.write(message.subarray(10));
    }
    socket.end();
  });
  t.teardown(() => server.close());
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const found: Buffer[] = [];
  for await (const message of splitMessages(connect(port, '127.0.0.1'))) found.push(message);
  t.same(found, MESSAGES);
});
