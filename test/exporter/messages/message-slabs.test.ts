// Memory of messages is used again when they are gone, and not before.
import t from 'tap';
import { MessageSlabs } from '../../../src/exporter/messages/message-slabs.js';
import { CURL_FLOW } from '../../support/described-flows.js';
import { flowBatch } from '../../support/flow-description.js';
import { recordExport, streamTransport } from '../../support/recorded-export.js';

t.test('a slab is used again when all who held it have released it', async (t) => {
  const slabs = new MessageSlabs(1000);
  const first = slabs.take();
  const messages = [first.hold(), first.hold()];
  first.release();
  t.not(slabs.take(), first);
  for (const message of messages) message.release();
  t.equal(slabs.take(), first);
  t.not(slabs.take(), first);
});

t.test('it has room for the longest message', async (t) => {
  t.ok(new MessageSlabs(1_000_000).take().bytes.length >= 1_000_000);
});

t.test('messages that have not arrived go again as they were, whatever came after', async (t) => {
  const transport = streamTransport();
  transport.confirmed = () => 0;
  const { exporter, sweep } = await recordExport(10, { maxMessageOctets: 2000 }, transport);
  const numbers = Array.from({ length: 3000 }, (_, i) => i + 1);
  const flows = numbers.map((packets) => ({ ...CURL_FLOW, packets }));
  await exporter.write(flowBatch(flows));
  await exporter.flush();
  while (transport.messages.length < 150) await new Promise((resolve) => setImmediate(resolve));
  const before = transport.messages.splice(0);
  // Another session gets them again, and then more.
  transport.confirmed = () => transport.messages.length;
  transport.session++;
  await sweep([CURL_FLOW]);
  await exporter.close();
  const body = (message: Buffer): string => message.toString('latin1', 16);
  const again = new Set(transport.messages.map(body));
  t.same(
    before.filter((message) => !again.has(body(message))),
    [],
  );
});
