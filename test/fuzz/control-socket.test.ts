// Hostile requests on the control socket, in pieces and broken off: each is answered or let go, nothing that
// steers a terminal comes back, and whoever asks next is answered.
import { once } from 'node:events';
import { connect } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import { CONTROL_COMMANDS, controlProtocol } from '../../src/cli/control-protocol.js';
import { openControlSocket } from '../../src/daemon/control/control-socket.js';
import { temporaryDirectory } from '../support/control.js';
import { SILENT } from '../support/silent-control.js';
import { fuzz } from './fuzz-rounds.js';
import { expectHarmless, hostileOctets, hostileText } from './hostile-texts.js';
import { mutated, type MutateOptions } from './mutate.js';
import type { Random } from './random.js';

const REQUESTS = 20;
const MAX_REQUEST_OCTETS = 1024;
const PATIENCE_MS = 60_000;

const commands = Object.keys(CONTROL_COMMANDS).flatMap((name) => [name, `json ${name}`]);
const others = [...commands, 'top 3', 'json top 99999', 'top -1', ''].map((line) =>
  Buffer.from(`${line}\n`),
);
const changes: MutateOptions = { others, head: 8, least: 0, most: 3000 };

function requestOf(random: Random): Buffer {
  if (random.oneIn(4)) return random.pick(others);
  if (random.oneIn(4)) return hostileOctets(random, 3000);
  return mutated(random, changes);
}

/** @returns what is answered; undefined when it was broken off before */
async function ask(random: Random, path: string, request: Buffer): Promise<string | undefined> {
  const socket = connect({ path, allowHalfOpen: true });
  let answer = '';
  socket.setEncoding('utf8').on('data', (piece: string) => (answer += piece));
  // Whoever says too much is let go in the middle of it.
  socket.on('error', () => undefined);
  const closed = once(socket, 'close');
  const isBrokenOff = random.oneIn(6);
  for (let at = 0; at < request.length && !socket.destroyed;) {
    const end = at + random.between(1, random.oneIn(2) ? 10 : 2000);
    const piece = request.subarray(at, end);
    await new Promise((resolve) => socket.write(piece, resolve));
    at = end;
    if (isBrokenOff && random.oneIn(2)) break;
  }
  if (isBrokenOff) socket.destroy();
  else socket.end();
  await closed;
  return isBrokenOff ? undefined : answer;
}

/** What is asked: the first line, or all where it has no end; undefined where that is too long. */
function lineOf(request: Buffer): Buffer | undefined {
  const end = request.indexOf('\n');
  const line = end < 0 ? request : request.subarray(0, end);
  return line.length > MAX_REQUEST_OCTETS ? undefined : line;
}

function expectAnswer(answer: string, request: Buffer): void {
  expectHarmless(answer, 'an answer');
  const line = lineOf(request);
  // A flow a line, of which there are none.
  if (line === undefined || request.length === 0 || line.includes('dump-flows')) return;
  if (answer === '') throw new Error(`no answer to ${JSON.stringify(line.toString('latin1'))}`);
  if (line.toString('utf8').startsWith('json ')) JSON.parse(answer);
}

t.test('whatever is asked, it is answered or let go', async (t) => {
  const protocol = controlProtocol('procflow');
  let names = ['lo'];
  const control = {
    ...SILENT,
    interfaces: () =>
      names.map((name, index) => ({ index, name, description: name, isMetered: true })),
  };
  const server = await openControlSocket({
    path: join(temporaryDirectory(t), 'control'),
    answer: (request) => protocol.answer(control, request),
    errorText: protocol.errorText,
    onNotice: () => undefined,
    patienceMs: PATIENCE_MS,
  });
  t.teardown(() => server.close());
  await fuzz(t, 'control socket', {
    share: 0.05,
    cases: 'requests',
    round: async (random) => {
      names = [hostileText(random), hostileText(random)];
      for (let i = 0; i < REQUESTS; i++) {
        const request = requestOf(random);
        const answer = await ask(random, server.path, request);
        if (answer !== undefined) expectAnswer(answer, request);
      }
      return REQUESTS;
    },
  });
});
