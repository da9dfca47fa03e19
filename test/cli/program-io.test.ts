import { Writable } from 'node:stream';
import t from 'tap';
import { notice, type ProgramIo } from '../../src/cli/program-io.js';

t.test('a notice is one line, whatever it quotes, and steers no terminal', async (t) => {
  let text = '';
  const err = new Writable({
    write: (chunk: Buffer, _encoding, done) => {
      text += chunk.toString('utf8');
      done();
    },
  });
  const io = { err } as Pick<ProgramIo, 'err'> as ProgramIo;
  notice(io, 'tls://a:1: not for CN=x\x1b[2J\nprocflow: all is well');
  t.equal(text, 'procflow: tls://a:1: not for CN=x\\x1b[2J\\x0aprocflow: all is well\n');
});
