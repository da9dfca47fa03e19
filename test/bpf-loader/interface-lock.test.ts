// Who meters an interface by clsact: one at a time.
import t from 'tap';
import { lockInterface } from '../../src/bpf-loader/interface-lock.js';
import { startProgram } from '../support/program.js';
import { asUser, NOBODY } from '../support/ordinary-user.js';

const skip = process.getuid?.() === 0 ? false : 'needs root: others are told by their rights';
/** No interface has this index. */
const INDEX = 2_000_000_000 + process.pid;

void t.test('a second one is told who has it, until that one lets go', { skip }, async (t) => {
  const release = lockInterface(INDEX, 'eth9');
  t.throws(() => lockInterface(INDEX, 'eth9'), {
    code: 'EBUSY',
    message: `meter interface eth9: EBUSY (another procflow, process ${process.pid}, meters it by clsact; stop that one first)`,
  });
  const other = lockInterface(INDEX + 1, 'eth8');
  other();
  release();
  lockInterface(INDEX, 'eth9')();
});

void t.test('who could not set a filter keeps nobody from it', { skip }, async (t) => {
  const script =
    'import socket,sys,time; s=socket.socket(socket.AF_UNIX); ' +
    `s.bind("\\0procflow-clsact-${INDEX}"); s.listen(1); print("there", flush=True); sys.stdin.read()`;
  const [command, ...args] = [...asUser(NOBODY), '/usr/bin/python3', '-c', script];
  const squatter = startProgram(t, command, args);
  await squatter.line('out', /there/);
  t.doesNotThrow(() => lockInterface(INDEX, 'eth9')());
  squatter.endInput();
  await squatter.ended;
});
