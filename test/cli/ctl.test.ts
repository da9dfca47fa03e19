// procflow ctl as a program, against servers that do as a test says.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import { runCtl, temporaryDirectory } from '../support/control.js';
import { PROCFLOW } from '../support/procflow.js';
import type { Teardown } from '../support/program.js';

/** @returns the path of a socket, and the questions that came there */
async function serve(t: Teardown, answer: (socket: Socket) => void) {
  const path = join(temporaryDirectory(t), 'control');
  const requests: string[] = [];
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.setEncoding('utf8').once('data', (request: string) => {
      requests.push(request);
      answer(socket);
    });
  }).listen(path);
  await once(server, 'listening');
  t.teardown(() => void server.close());
  return { path, requests };
}

t.test('asks one line and prints what comes', async (t) => {
  const { path, requests } = await serve(t, (socket) =>
    socket.end('procflow[1]: fine\nand more\n'),
  );
  const expected = { code: 0, out: 'procflow[1]: fine\nand more\n', err: '' };
  t.same(await runCtl('-c', path, 'statistics'), expected);
  await runCtl('-c', path, 'statistics', '--json');
  await runCtl('-c', path, 'top', '-n', '3', '--json');
  t.same(requests, ['statistics\n', 'json statistics\n', 'json top 3\n']);
});

t.test('an answer that is an error ends it with 1', async (t) => {
  const answers = [
    'Unknown control command "json top"\n',
    'procflow[1]: error: no\n',
    'procflow[1]: Dumping flow data:\na flow\n\nprocflow[1]: error: broken off\n',
    '{"error":"no"}\n',
  ];
  for (const answer of answers) {
    const { path } = await serve(t, (socket) => socket.end(answer));
    t.match(await runCtl('-c', path, 'top'), { code: 1, out: answer });
  }
  const inPieces = await serve(t, (socket) => {
    socket.write('a flow\n', () => setImmediate(() => socket.end('procflow[1]: error: no\n')));
  });
  t.match(await runCtl('-c', inPieces.path, 'dump-flows'), { code: 1, out: /a flow\n.*error/ });
  const { path } = await serve(t, (socket) => socket.end());
  t.match(await runCtl('-c', path, 'top'), { code: 1, err: /closed without an answer/ });
});

t.test('what steers a terminal is not printed, whoever answers', async (t) => {
  const { path } = await serve(t, (socket) => socket.end('a\x1b[2Jb\u202ec\ttop\nnext\n'));
  const out = 'a\\x1b[2Jb\\u{202e}c\ttop\nnext\n';
  t.match(await runCtl('-c', path, 'top'), { code: 0, out, err: '' });
});

t.test('ends when its reader has enough', async (t) => {
  const { path } = await serve(t, (socket) => {
    const write = (): void => {
      while (!socket.destroyed && socket.write('a flow\n'.repeat(10_000)));
    };
    socket.on('drain', write);
    write();
  });
  const [command, ...before] = PROCFLOW;
  const child = spawn(command, [...before, 'ctl', '-c', path, 'dump-flows']);
  await once(child.stdout, 'data');
  child.stdout.destroy();
  const [code] = (await once(child, 'exit')) as [number | null];
  t.equal(code, 0);
});
