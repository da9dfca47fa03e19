// What procflow cannot do it says in one line, with what to mend, and ends with a failure.
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import t from 'tap';
import { createNamespace } from '../support/network-namespace.js';
import { PROCFLOW, runProcflow } from '../support/procflow.js';
import { startProgram, type Teardown } from '../support/program.js';
import { missingRequirement } from '../support/requirements.js';
import { cgroup2Mount, createCgroup } from '../support/test-cgroup.js';

const skip = missingRequirement();

interface Outcome {
  readonly end: { readonly code: number | null };
  readonly out: string;
  readonly err: string;
}

interface Assertions {
  equal(found: unknown, wanted: unknown, message: string): boolean;
  not(found: unknown, unwanted: unknown, message: string): boolean;
  match(found: unknown, pattern: unknown, message: string): boolean;
}

function expectOneClearLine(t: Assertions, { end, out, err }: Outcome, pattern: RegExp): void {
  t.not(end.code, 0, 'fails');
  t.not(end.code, null, 'is not killed');
  t.equal(err.split('\n').length, 1, `one line: ${err}`);
  t.match(err, pattern, 'that says what is wrong');
  t.equal(/^\s+at |node:internal/m.test(err), false, 'without a stack trace');
  t.equal(out, '', 'and nothing on standard output');
}

/** Options of an export that would work, in a namespace and a cgroup of the test's own. */
function workingOptions(t: Teardown): Record<string, readonly string[]> {
  const { name } = createNamespace(t);
  return {
    interface: ['-i', 'lo'],
    collector: ['-n', '127.0.0.1:9'],
    version: ['-v', '9'],
    cgroup: ['--cgroup', createCgroup(t)],
    netns: ['--netns', name],
  };
}

const CASES: readonly {
  name: string;
  options: Record<string, readonly string[]>;
  env?: NodeJS.ProcessEnv;
  pattern: RegExp;
}[] = [
  {
    name: 'an interface that does not exist',
    options: { interface: ['-i', 'nosuch0'] },
    pattern: /nosuch0/,
  },
  { name: 'no interface', options: { interface: [] }, pattern: /-i|interface/ },
  {
    name: 'a collector that is not an address',
    options: { collector: ['-n', '300.1.2.3:9995'] },
    pattern: /300\.1\.2\.3/,
  },
  {
    name: 'a collector without a port',
    options: { collector: ['-n', '127.0.0.1'] },
    pattern: /port/,
  },
  { name: 'an unknown export version', options: { version: ['-v', '8'] }, pattern: /-v 8/ },
  {
    name: 'an unknown network namespace',
    options: { netns: ['--netns', 'procflow-no-such'] },
    pattern: /procflow-no-such/,
  },
  {
    name: 'a cgroup that does not exist',
    options: { cgroup: ['--cgroup', '/nonexistent/cgroup'] },
    pattern: /\/nonexistent\/cgroup/,
  },
  {
    name: 'a directory that is no cgroup',
    options: { cgroup: ['--cgroup', '/tmp'] },
    pattern: /open cgroup \/tmp: .*give a directory of cgroup v2/,
  },
  {
    name: 'a cgroup that does not exist, to meter sockets in',
    options: {
      interface: [],
      netns: [],
      cgroup: ['--capture', 'sockets', '--cgroup', '/nonexistent/cgroup'],
    },
    pattern: /open cgroup \/nonexistent\/cgroup: ENOENT/,
  },
  {
    name: 'a network namespace to meter sockets in',
    options: { interface: [], cgroup: ['--capture', 'sockets', '--cgroup', '/nonexistent/cgroup'] },
    pattern: /--netns .* cannot be chosen with --capture sockets: .*--cgroup narrows it/,
  },
  {
    name: 'a timeout that is no number',
    options: { timeout: ['--active-timeout', 'soon'] },
    pattern: /--active-timeout soon/,
  },
  { name: 'an unknown option', options: { more: ['--frobnicate'] }, pattern: /--frobnicate/ },
  {
    name: 'a missing libbpf',
    options: {},
    env: { PROCFLOW_LIBBPF: '/nonexistent/libbpf.so.1' },
    pattern: /libbpf/,
  },
];

for (const { name, options, env, pattern } of CASES) {
  t.test(`${name} is one clear line`, { skip }, async (t) => {
    const all = { ...workingOptions(t), ...options };
    const outcome = await runProcflow(t, ['export', ...Object.values(all).flat()], env);
    expectOneClearLine(t, outcome, pattern);
  });
}

t.test('a source port that is taken is one clear line', { skip }, async (t) => {
  const taken = createSocket('udp4');
  taken.bind(0, '127.0.0.1');
  await once(taken, 'listening');
  t.teardown(() => taken.close());
  const { port } = taken.address();
  const options = Object.values(workingOptions(t)).flat();
  const outcome = await runProcflow(t, ['export', ...options, '--source', `127.0.0.1:${port}`]);
  expectOneClearLine(t, outcome, /EADDRINUSE|in use/);
  t.match(outcome.err, new RegExp(`127\\.0\\.0\\.1.*${port}`), 'with address and port');
});

const WITHOUT_CAPABILITIES = [
  {
    name: 'any capability',
    bounding: '-all',
    pattern: /EPERM \(needs CAP_BPF, CAP_PERFMON, CAP_NET/,
  },
  { name: 'CAP_BPF', bounding: '-bpf,-sys_admin', pattern: /EPERM \(needs CAP_BPF: run as root/ },
] as const;

// Root with fewer capabilities, and not another user, who might not be able to read this checkout.
for (const { name, bounding, pattern } of WITHOUT_CAPABILITIES) {
  t.test(`without ${name} there is one clear line`, { skip }, async (t) => {
    const options = Object.values(workingOptions(t)).flat();
    const reduced = ['--inh-caps=-all', `--bounding-set=${bounding}`];
    const program = startProgram(t, 'setpriv', [...reduced, ...PROCFLOW, 'export', ...options]);
    const end = await program.ended;
    const outcome = { end, out: program.out.join('\n'), err: program.err.join('\n') };
    expectOneClearLine(t, outcome, pattern);
  });
}

// In a mount namespace of its own something else lies over the cgroups: to attach there is refused.
t.test('a cgroup that nobody asked for may refuse', { skip }, async (t) => {
  const hide = 'mount -t tmpfs none "$1" && shift && exec "$@"';
  const hidden = ['-m', 'sh', '-c', hide, 'sh', cgroup2Mount() ?? ''];
  const { name } = createNamespace(t);
  const live = [...PROCFLOW, 'live', '-i', 'lo', '--netns', name];
  const program = startProgram(t, 'unshare', [...hidden, ...live]);
  await program.line('err', /^procflow: metering lo/);
  const notice = /^procflow: open cgroup .*: ENOTSUP .*; a socket has an owner only from/;
  t.match(program.err[0], notice, 'which is a notice');
  t.match(await program.stop(), { code: 0 });
});
