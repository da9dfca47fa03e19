// The answers on the control socket beside softflowd's own, word for word where the words are of form;
// procflow ctl, and who may ask.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, statSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import { run, runCtl, startControlled, temporaryDirectory } from '../support/control.js';
import { startIn } from '../support/generators.js';
import { createNamespacePair, bringUp } from '../support/network-namespace.js';
import { startProcflow } from '../support/procflow.js';
import type { Teardown } from '../support/program.js';
import { missingRequirement } from '../support/requirements.js';
import { createCgroup } from '../support/test-cgroup.js';

const skip = missingRequirement('softflowctl', 'softflowd');
const PACKETS = 23;
const NOBODY = 65534;

/** What is left when figures, and who gave them, are taken out: each number becomes #. */
function form(text: string): string[] {
  return text
    .replace(/^(?:procflow|softflowd)\[\d+\]/, 'DAEMON')
    .split('\n')
    .map((line) => line.replace(/[\d.]+/g, '#').replace(/ +/g, ' '));
}

/** softflowd reads what libpcap has by blocks, so it gets more than one of them. */
async function softflowdAnswers(
  t: Teardown,
  commands: readonly string[],
): Promise<readonly string[]> {
  const pair = createNamespacePair(t);
  bringUp(pair);
  const directory = temporaryDirectory(t);
  const path = join(directory, 'control');
  const place = { namespace: pair.a, cgroup: createCgroup(t) };
  const options = ['-d', '-i', pair.a.interfaceName, '-c', path, '-p', join(directory, 'pid')];
  const program = startIn(t, place, 'softflowd', ...options);
  await program.line('err', /starting data collection/);
  const answers: string[] = [];
  const flood = `
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for i in range(3000): s.sendto(b'x' * 1000, ('${pair.b.ipv4}', 9))`;
  for (const command of commands) {
    for (let isSeen = false; !isSeen;) {
      await startIn(t, place, 'python3', '-c', flood).success();
      isSeen = (await run('softflowctl', '-c', path, 'dump-flows')).out.includes('proto:17');
    }
    answers.push((await run('softflowctl', '-c', path, command)).out);
  }
  await program.stop();
  return answers;
}

t.test("answers have the form of softflowd's", { skip }, async (t) => {
  const commands = ['dump-flows', 'timeouts', 'expire-all', 'statistics', 'delete-all'];
  const theirs = await softflowdAnswers(t, commands);
  const { softflowctl, sendMetered } = await startControlled(t);
  const ours: string[] = [];
  for (const command of commands) {
    await sendMetered(PACKETS);
    ours.push((await softflowctl(command)).out);
  }
  const [dumped = '', timeouts = '', expired = '', statistics = '', deleted = ''] = theirs;
  t.same(form(ours[1] ?? ''), form(timeouts));
  t.same(form(ours[2] ?? ''), form(expired));
  t.same(form(ours[4] ?? ''), form(deleted));

  const flowForm = (text: string): string[] => {
    const lines = form(text);
    const at = lines.findIndex((line) => line.includes('proto:#') && line.includes('<> [#]'));
    const flow = (lines[at] ?? '').replace(/(?:[0-9a-f#]+:){5}[0-9a-f#]+/g, 'MAC');
    return [lines[0] ?? '', flow, lines[at + 1] ?? '', lines[at + 2] ?? ''];
  };
  const [first, theirFlow = '', ...rest] = flowForm(dumped);
  const [ourFirst, ourFlow = '', ...ourRest] = flowForm(ours[0] ?? '');
  t.same([ourFirst, ...ourRest], [first, ...rest]);
  t.ok(ourFlow.startsWith(theirFlow.replace(/\b0+\b/g, '#').trimEnd()), `${ourFlow}\n${theirFlow}`);
  t.match(ourFlow, / process>:udp-client\[#\] user>:root$/, 'the process behind');

  // Theirs stands in ours, in order; what softflowd says of libpcap is said of what procflow has.
  const expected = form(statistics)
    .filter(
      (line) => line !== '' && !/libpcap|Packets dropped by interface|^ *\S+ \(#\):/.test(line),
    )
    .map((line) => line.replace('Fragments: #', 'Fragments: # without their first one'));
  let at = -1;
  const found = form(ours[3] ?? '');
  for (const line of expected) {
    const next = found.indexOf(line, at + 1);
    t.ok(next > at, line);
    at = next;
  }
});

t.test('procflow ctl answers in text and in JSON', { skip }, async (t) => {
  const { session, path, ctl, asked, sendMetered } = await startControlled(t);
  const port = await sendMetered(PACKETS);
  const { mode } = statSync(path);
  t.equal(mode & 0o777, 0o600, 'the socket is for its owner');

  const top = await ctl('top', '-n', '1');
  t.match(top, {
    code: 0,
    out: /^procflow\[\d+\]: Processes .*: 1\nOCTETS OUT +OCTETS IN.*\n.*udp-client\n$/,
  });
  const { processes } = (await asked('top')) as { processes: object[] };
  t.match(processes[0], { name: 'udp-client', user: 'root', octetsReceived: 0, flows: 1 });
  t.match((await ctl('top', '-n', '0')).out, /error: top 0: give a number of processes/);
  t.match(await ctl('top', '-n', '0', '--json'), { code: 1, out: /^\{"error":"top 0/ });

  const { interfaces } = (await asked('interfaces')) as { interfaces: { name: string }[] };
  const name = session.pair.a.interfaceName;
  t.match(
    interfaces.find((each) => each.name === name),
    { isMetered: true },
  );
  t.match(
    interfaces.find((each) => each.name === 'lo'),
    { isMetered: false },
  );
  t.match((await ctl('interfaces')).out, new RegExp(`^\\d+ +${name} +yes`, 'm'));

  t.match(await asked('timeouts'), { udp: 3600, maxlife: 3600, expint: 1 });
  t.match((await ctl('dump-flows')).out, new RegExp(`:${port} proto:17 .* process>:udp-client\\[`));
  t.match(await ctl('reload'), {
    code: 0,
    out: /looked up again\. There is no configuration file/,
  });
  t.match(await ctl('foo'), { code: 1, out: 'Unknown control command "foo"\n' });
  t.match(await asked('expire-all'), { flows: Number });
  t.match(await asked('delete-all'), { flows: Number, packets: Number, octets: Number });
  t.match(await ctl('shutdown', '--json'), { code: 0, out: '{"ending":"shutdown"}\n' });
  await session.exporter.program.ended;
  t.match(await ctl('statistics'), { code: 1, err: /control socket \S+: is not there \(start/ });
});

/** What another user gets as an answer. */
async function askAs(uid: number, path: string): Promise<string> {
  const script = `
    const socket = require('node:net').connect(process.argv[1], () => socket.write('statistics\\n'));
    socket.pipe(process.stdout);
    socket.on('error', (error) => process.stdout.write(error.code));`;
  // Without tap in it.
  const env = { ...process.env, NODE_OPTIONS: '' };
  const child = spawn(process.execPath, ['-e', script, path], { uid, gid: uid, env });
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (piece: string) => (text += piece));
  await once(child, 'close');
  return text;
}

t.test('another user may not ask, even where the socket would let him', { skip }, async (t) => {
  const { directory, path, ctl, session } = await startControlled(t);
  chmodSync(directory, 0o755);
  t.equal(await askAs(NOBODY, path), 'EACCES', 'the socket does not');
  chmodSync(path, 0o666);
  t.match(
    await askAs(NOBODY, path),
    /^procflow\[\d+\]: error: only root and user id 0, .* user id 65534\n$/,
  );
  await session.exporter.program.line('err', /control socket: user id 65534 was refused/);
  t.match(await ctl('statistics'), { code: 0 });
});

t.test(
  'a flow that many look at at once is told to each, and who leaves early',
  { skip },
  async (t) => {
    const { path, ctl, sendMetered } = await startControlled(t);
    await sendMetered(PACKETS);
    const leaving = connect(path);
    leaving.write('dump-flows\n', () => leaving.destroy());
    const answers = await Promise.all([1, 2, 3].map(() => ctl('dump-flows')));
    for (const { code, out } of answers) t.match({ code, out }, { code: 0, out: /udp-client/ });
  },
);

t.test('a second one does not take the control socket of the first', { skip }, async (t) => {
  const { path, ctl } = await startControlled(t);
  const second = startProcflow(t, ['export', '-i', 'lo', '-n', '127.0.0.1:9', '-c', path]);
  t.same(await second.ended, { code: 2, signal: null });
  t.match(second.err.join('\n'), /another process listens there \(stop it \(procflow ctl -c/);
  t.match(await ctl('timeouts'), { code: 0 });
});

t.test('procflow ctl says why nobody answers', { skip }, async (t) => {
  const directory = temporaryDirectory(t);
  t.match(await runCtl('-c', directory, 'statistics'), { code: 1, err: /is not a socket/ });
  t.match(await runCtl('-c', join(directory, 'none'), 'top'), { code: 1, err: /is not there/ });
  t.match(await runCtl('-c', join(directory, 'none'), 'exit', '-n', '3'), { code: 2, err: /top/ });
});

t.test('answers come while a sweep waits for a slow collector', { skip }, async (t) => {
  // A message a second: what is exported takes minutes, and there is no room for it to wait.
  const pace = ['--rate', '1', '--backlog', '65536'];
  const slow = [...pace, '--profile', 'full', '--message-octets', '600'];
  const { session, softflowctl, ctl, statistics } = await startControlled(t, slow);
  const { a, pair } = session;
  const flood = `
import socket
for port in range(1, 2001):
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('${pair.b.ipv4}', port))`;
  await startIn(t, a, 'python3', '-c', flood).success();
  const { activeFlows } = await statistics();
  t.ok(activeFlows >= 2000);
  t.match(await softflowctl('expire-all'), {
    code: 0,
    out: /: Flows expire when the collectors have taken what they are sent now\.\n$/,
  });
  t.match(await ctl('delete-all'), { code: 0, out: /: Flows are deleted when the collectors/ });
  const during = await ctl('dump-flows');
  t.match(during, { code: 0, out: /: Dumping flow data:\n/ });
  t.match(await ctl('top'), { code: 0 });
  t.match(await softflowctl('shutdown'), { code: 0 });
  t.match(
    await softflowctl('start-gather'),
    { out: /: error: the session is ending: nothing is metered any more\n$/ },
    'what comes now would be metered for nobody',
  );
  t.match(await softflowctl('exit'), { code: 0 });
  t.same(
    await session.exporter.program.ended,
    { code: 0, signal: null },
    'not after minutes either',
  );
  const { lines } = await session.exporter.stop();
  t.match(lines.join('\n'), /LOSS: \d+ records .* the exporter ended before/);
});
