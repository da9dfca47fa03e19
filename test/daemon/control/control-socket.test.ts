import { once } from 'node:events';
import { existsSync, lstatSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import {
  openControlSocket,
  type ControlSocketOptions,
} from '../../../src/daemon/control/control-socket.js';
import { temporaryDirectory } from '../../support/control.js';
import { startProgram, type Teardown } from '../../support/program.js';

type Options = Omit<ControlSocketOptions, 'path'>;

/** Answers with what it was asked. */
const ECHO: Options = {
  answer: async function* (request) {
    yield `${request}!`;
  },
  errorText: (reason) => `error: ${reason}\n`,
  onNotice: () => undefined,
};

async function open(t: Teardown, options: Partial<Options> = {}) {
  const path = join(temporaryDirectory(t), 'control');
  const control = await openControlSocket({ ...ECHO, ...options, path });
  t.teardown(() => control.close());
  return { path, control };
}

/** Sends the pieces one by one, each when the one before has been taken. */
async function ask(path: string, ...pieces: (string | Buffer)[]): Promise<string> {
  const socket = connect(path);
  for (const piece of pieces) {
    await new Promise((resolve) => socket.write(piece, resolve));
  }
  return answerOf(socket);
}

async function answerOf(socket: Socket): Promise<string> {
  let text = '';
  socket.setEncoding('utf8').on('data', (piece: string) => (text += piece));
  socket.on('error', () => undefined);
  await once(socket, 'close');
  return text;
}

t.test('a line is answered up to the end of the stream', async (t) => {
  const { path } = await open(t);
  t.equal(lstatSync(path).mode & 0o777, 0o600);
  t.equal(await ask(path, 'statistics\n'), 'statistics!');
  t.equal(await ask(path, 'stat', 'istics', '\n'), 'statistics!', 'in pieces');
  t.equal(await ask(path, 'one\ntwo\n'), 'one!', 'only the first one');
  t.equal(await ask(path, '\n'), '!');
  t.equal(await ask(path, 'statistics\r\n'), 'statistics!');
  t.equal(await ask(path, Buffer.of(0, 0xff, 0xfe, 0x0a)), '\0\ufffd\ufffd!', 'no text');
  const halfClosed = connect({ path, allowHalfOpen: true });
  halfClosed.end('statistics');
  t.equal(await answerOf(halfClosed), 'statistics!', 'without a newline, when all is said');
});

/** A server of little patience may have none where the machine is busy. */
async function askAgain(path: string, request: string): Promise<string> {
  for (;;) {
    const answer = await ask(path, request);
    if (answer !== '') return answer;
  }
}

t.test('whatever comes, the next one is answered', async (t) => {
  const { path } = await open(t, { patienceMs: 200 });
  t.equal(await ask(path, 'x'.repeat(1025)), '', 'too long');
  t.equal(await ask(path, `${'x'.repeat(5000)}\n`), '', 'too long, with an end');
  t.equal(await ask(path), '', 'nothing in time');
  t.equal(await ask(path, 'never ends'), '', 'no end in time');
  t.equal(await askAgain(path, '\0\u001b\n'), '\0\u001b!', 'controls');
  const gone = connect(path);
  gone.write('statistics\n');
  gone.destroy();
  t.equal(await askAgain(path, 'statistics\n'), 'statistics!');
});

t.test('a client that does not read is let go, and holds up no other', async (t) => {
  const ended: boolean[] = [];
  const { path } = await open(t, {
    patienceMs: 200,
    answer: async function* (request) {
      if (request !== 'much') {
        yield 'little';
        return;
      }
      try {
        for (;;) yield 'x'.repeat(65536);
      } finally {
        ended.push(true);
      }
    },
  });
  const slow = connect(path);
  slow.on('error', () => undefined);
  slow.pause();
  slow.write('much\n');
  t.equal(await askAgain(path, 'statistics\n'), 'little');
  while (ended.length === 0) await ask(path, 'statistics\n');
  t.same(ended, [true], 'the answer was broken off, and what it came from told');
  slow.destroy();
});

t.test('more clients than there is room for are not waited for', async (t) => {
  const { path } = await open(t);
  const silent = Array.from({ length: 16 }, () => connect(path));
  await Promise.all(silent.map((socket) => once(socket, 'connect')));
  const surplus = connect(path);
  t.equal(await answerOf(surplus), '', 'closed without an answer');
  for (const socket of silent) socket.destroy();
  t.equal(await askAgain(path, 'statistics\n'), 'statistics!');
});

t.test('an error becomes the end of the answer', async (t) => {
  const { path } = await open(t, {
    answer: async function* () {
      yield 'begin\n';
      throw new Error('no more');
    },
  });
  t.equal(await ask(path, 'statistics\n'), 'begin\nerror: no more\n');
  const thrown = await open(t, {
    answer: () => {
      throw new Error('not now');
    },
  });
  t.equal(await ask(thrown.path, 'statistics\n'), 'error: not now\n');
});

t.test('the socket of a dead process is replaced', async (t) => {
  const path = join(temporaryDirectory(t), 'control');
  const script = `require('node:net').createServer().listen(${JSON.stringify(path)}, () => console.log('up'))`;
  const dead = startProgram(t, 'env', ['-u', 'NODE_OPTIONS', process.execPath, '-e', script]);
  await dead.line('out', /up/);
  await t.rejects(openControlSocket({ ...ECHO, path }), {
    name: 'ConfigError',
    message: `-c ${path}: another process listens there (stop it (procflow ctl -c ${path} shutdown), or choose another path)`,
  });
  await dead.stop('SIGKILL');
  t.ok(lstatSync(path).isSocket(), 'it has left its socket');
  const control = await openControlSocket({ ...ECHO, path });
  t.equal(await ask(path, 'statistics\n'), 'statistics!');
  await control.close();
  t.notOk(existsSync(path), 'and it is gone at the end');
});

t.test('what is not a socket is left alone', async (t) => {
  const path = join(temporaryDirectory(t), 'control');
  writeFileSync(path, 'precious');
  await t.rejects(openControlSocket({ ...ECHO, path }), {
    message: /is there and is not a socket \(move it away, or choose another path\)/,
  });
  t.equal(readFileSync(path, 'utf8'), 'precious');
});

/** As soon as it is there: between two steps of whoever makes it, which are microtasks as these are. */
async function whenThere<Result>(path: string, act: () => Result): Promise<Result> {
  for (let looks = 0; looks < 1000; looks++) {
    if (existsSync(path)) return act();
    await Promise.resolve();
  }
  throw new Error(`${path} was never there`);
}

t.test('nobody else can use it at any time', async (t) => {
  const path = join(temporaryDirectory(t), 'control');
  const mask = process.umask(0);
  t.teardown(() => process.umask(mask));
  const opening = openControlSocket({ ...ECHO, path });
  const first = whenThere(`${path}~`, () => lstatSync(`${path}~`).mode & 0o777);
  const control = await opening;
  t.equal(await first, 0o600, 'under the name that it has at first');
  t.equal(lstatSync(path).mode & 0o777, 0o600, 'and under its own');
  t.notOk(existsSync(`${path}~`));
  t.equal(process.umask(0), 0, 'other files are made as before');
  await control.close();
});

t.test('a link in its place is not followed', async (t) => {
  const directory = temporaryDirectory(t);
  const [path, precious] = [join(directory, 'control'), join(directory, 'precious')];
  writeFileSync(precious, 'precious', { mode: 0o644 });
  const { mode } = lstatSync(precious);
  const opening = openControlSocket({ ...ECHO, path });
  const swapped = whenThere(`${path}~`, () => {
    rmSync(`${path}~`);
    symlinkSync(precious, `${path}~`);
  });
  await t.rejects(opening, { name: 'ConfigError', message: /something else in the place of/ });
  await swapped;
  t.equal(lstatSync(precious).mode, mode, 'what it leads to is as it was');
  t.equal(readFileSync(precious, 'utf8'), 'precious');
  t.notOk(lstatSync(path, { throwIfNoEntry: false }));
});

t.test('at the end only its own socket is removed', async (t) => {
  const { path, control } = await open(t);
  rmSync(path);
  writeFileSync(path, 'precious');
  await control.close();
  t.equal(readFileSync(path, 'utf8'), 'precious');

  const another = await open(t);
  rmSync(another.path);
  const server = createServer().listen(another.path);
  await once(server, 'listening');
  await another.control.close();
  t.ok(lstatSync(another.path).isSocket(), "another one's neither");
  server.close();
});

t.test('a path that cannot be had is said', async (t) => {
  const directory = temporaryDirectory(t);
  const cases = [
    {
      path: join(directory, 'none', 'control'),
      message: /cannot be made: \w+ \(its directory must exist\)/,
    },
    {
      path: join(directory, 'x'.repeat(107)),
      message: /too long for a socket: at most 106 octets/,
    },
    { path: '/proc/control', message: /cannot be made: \w+ \(the directory must be writable/ },
  ];
  for (const { path, message } of cases) {
    await t.rejects(openControlSocket({ ...ECHO, path }), { name: 'ConfigError', message });
  }
});

t.test('closing breaks off an answer that goes on', async (t) => {
  const { path, control } = await open(t, {
    answer: async function* () {
      yield 'begin';
      await new Promise(() => undefined);
    },
  });
  const socket = connect(path);
  socket.write('statistics\n');
  await once(socket, 'readable');
  await Promise.all([control.close(), once(socket.resume(), 'close')]);
  t.notOk(existsSync(path));
});
