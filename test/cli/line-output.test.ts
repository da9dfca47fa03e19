import { Writable } from 'node:stream';
import t from 'tap';
import { LineOutput } from '../../src/cli/line-output.js';

t.test('lines end in newlines, and no lines are nothing', async (t) => {
  const written: string[] = [];
  const stream = new Writable({
    write: (chunk: Buffer, _encoding, done) => {
      written.push(chunk.toString());
      done();
    },
  });
  const output = new LineOutput(stream, () => undefined);
  await output.write(['a', 'b']);
  await output.write([]);
  await output.write(['c']);
  t.same(written, ['a\nb\n', 'c\n']);
});

t.test('waits for a slow reader', async (t) => {
  const held: (() => void)[] = [];
  const stream = new Writable({ highWaterMark: 1, write: (_chunk, _e, done) => held.push(done) });
  const output = new LineOutput(stream, () => undefined);
  let isDone = false;
  const writing = output.write(['long enough']).then(() => (isDone = true));
  await new Promise(setImmediate);
  t.equal(isDone, false);
  held.shift()?.();
  await writing;
  t.same(
    ['drain', 'error', 'close'].map((event) => stream.listenerCount(event)),
    [0, 1, 0],
    'its listeners are taken away again',
  );
});

t.test(
  'a reader that leaves is told of once, frees a waiting write, and ends all writing',
  async (t) => {
    let closings = 0;
    let writes = 0;
    const stream = new Writable({
      highWaterMark: 1,
      write: (_chunk, _encoding, done) => {
        writes++;
        setImmediate(done, Object.assign(new Error('write EPIPE'), { code: 'EPIPE' }));
      },
    });
    const output = new LineOutput(stream, () => closings++);
    await output.write(['first']);
    await new Promise(setImmediate);
    t.equal(output.isClosed, true);
    await output.write(['second']);
    t.equal(closings, 1);
    t.equal(writes, 1);
  },
);
