// With three capabilities instead of root's rights, and without one of them.
import t from 'tap';
import { startIn } from '../support/generators.js';
import { listFilters } from '../support/network-namespace.js';
import {
  addInterface,
  asUser,
  createUserStage,
  NEEDED_CAPABILITIES,
  NOBODY,
  reachableProcflow,
  startUserExport,
  talk,
} from '../support/ordinary-user.js';
import { missingRequirement } from '../support/requirements.js';

const skip = missingRequirement('setpriv');
const PACKETS = 23;

for (const attach of ['tcx', 'clsact'] as const) {
  t.test(`an ordinary user with three capabilities meters, ${attach}`, { skip }, async (t) => {
    const stage = createUserStage(t);
    const options = ['-i', 'any', '--attach', attach];
    const exporter = await startUserExport(t, stage, { as: NOBODY, options });
    const port = await talk(t, stage.place, PACKETS);
    const late = addInterface(stage.place, 'late');
    await exporter.program.line('err', /interface late appeared and is metered/);

    const flowsTo = await exporter.stop();
    t.same(flowsTo(port), [`${PACKETS} user-client > user-server`], 'both processes are named');
    t.equal(listFilters(late), '', 'nothing is left');
  });
}

t.test('at sockets too', { skip }, async (t) => {
  const stage = createUserStage(t);
  const exporter = await startUserExport(t, stage, {
    as: NOBODY,
    options: ['--capture', 'sockets'],
  });
  const port = await talk(t, stage.place, PACKETS);
  const flowsTo = await exporter.stop();
  t.same(flowsTo(port), [`${PACKETS} user-client > user-server`]);
});

for (const missing of NEEDED_CAPABILITIES) {
  t.test(`without CAP_${missing.toUpperCase()} the message says so`, { skip }, async (t) => {
    const { place, cgroup } = createUserStage(t);
    const others = NEEDED_CAPABILITIES.filter((name) => name !== missing);
    const [command = '', ...before] = asUser(NOBODY, others);
    const procflow = reachableProcflow(t, NOBODY);
    const args = [...before, ...procflow, 'live', '-i', 'lo', '--cgroup', cgroup];
    const program = startIn(t, { namespace: place.namespace }, command, ...args);
    const { code } = await program.ended;
    t.equal(code, 1);
    t.match(
      program.err.join('\n'),
      `needs CAP_${missing.toUpperCase()}: run as root, or with these`,
    );
  });
}

t.test('without any it names all three, and so does doctor', { skip }, async (t) => {
  const [command = '', ...before] = asUser(NOBODY);
  const { place } = createUserStage(t);
  const procflow = reachableProcflow(t, NOBODY);
  const live = startIn(t, place, command, ...before, ...procflow, 'live', '-i', 'lo');
  t.equal((await live.ended).code, 1);
  t.match(live.err.join('\n'), 'needs CAP_BPF, CAP_PERFMON, CAP_NET_ADMIN:');

  const doctor = startIn(t, place, command, ...before, ...procflow, 'doctor');
  t.equal((await doctor.ended).code, 1);
  t.match(doctor.out.join('\n'), 'MISSING  missing: CAP_BPF, CAP_PERFMON, CAP_NET_ADMIN');
});

t.test('a namespace that must be entered takes CAP_SYS_ADMIN', { skip }, async (t) => {
  const { place } = createUserStage(t);
  const enter = [
    ...reachableProcflow(t, NOBODY),
    'live',
    '-i',
    'lo',
    '--netns',
    place.namespace.path,
  ];
  const [command = '', ...before] = asUser(NOBODY, NEEDED_CAPABILITIES);
  const program = startIn(t, place, command, ...before, ...enter);
  t.equal((await program.ended).code, 1);
  t.match(program.err.join('\n'), /network namespace .*: EPERM \(needs CAP_SYS_ADMIN/);
});
