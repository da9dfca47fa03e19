import { PassThrough } from 'node:stream';
import t from 'tap';
import { LineOutput } from '../../src/cli/line-output.js';
import { LiveSink } from '../../src/cli/live-sink.js';
import { batchOf } from '../daemon/fake-flows.js';

const CLOCK = { bootNs: () => 0n, bootEpoch: () => ({ seconds: 5, nanoseconds: 0 }) };

t.test('writes a line for each record of a batch, dated by the clock of its sweep', async (t) => {
  const stream = new PassThrough();
  const output = new LineOutput(stream, () => undefined);
  const sink = new LiveSink(
    output,
    CLOCK,
    (record, epoch) => `${record.packets} at ${epoch.seconds}`,
  );
  await sink.write(
    batchOf([
      { packets: 1, octets: 1 },
      { packets: 2, octets: 1 },
    ]),
  );
  await sink.write(batchOf([{ packets: 3, octets: 1 }]));
  await sink.flush();
  await sink.close();
  t.equal(String(stream.read()), '1 at 5\n2 at 5\n3 at 5\n');
});

t.test('formats nothing for a reader that left', async (t) => {
  const stream = new PassThrough();
  const output = new LineOutput(stream, () => undefined);
  stream.destroy(new Error('gone'));
  await new Promise(setImmediate);
  const sink = new LiveSink(output, CLOCK, () => {
    throw new Error('was asked to format');
  });
  await t.resolves(sink.write(batchOf([{ packets: 1, octets: 1 }])));
});
