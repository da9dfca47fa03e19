// Commands of procflow that the documents show: each is understood as it stands there. What it would
// meter is replaced by what does not exist, and that is found out behind the command line.
import { execFileSync } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { runProcflow } from '../support/procflow.js';
import type { Teardown } from '../support/program.js';
import { PROJECT_ROOT, missingRequirement } from '../support/requirements.js';

const skip = missingRequirement();
const COMMAND = /^\s*(?:\.\/bin\/)?procflow export (.*)$/gm;

function commandsIn(text: string): string[] {
  return [...new Set([...text.matchAll(COMMAND)].map(([, rest = '']) => rest))];
}

/** As a shell takes it apart, without its comment. */
function words(commandLine: string): string[] {
  const script = `set -f; printf '%s\\0' ${commandLine}`;
  return execFileSync('sh', ['-c', script], { encoding: 'utf8' }).split('\0').slice(0, -1);
}

const ABSENT = {
  '-i': 'nosuch0',
  '--netns': 'procflow-no-such',
  '--cgroup': '/nonexistent/cgroup',
  '-r': '/nonexistent/capture.pcap',
} as const;

const ABSENT_NAMED =
  /^procflow: [^\n]*(nosuch0: ENODEV|(procflow-no-such|cgroup|\/nonexistent|capture\.pcap): ENOENT)/;

/** The same, with nothing that it could meter. */
function harmless(args: readonly string[]): string[] {
  const replaced = args.map((arg, i) => {
    const option = args[i - 1];
    if (option === '-i' || option === '--netns' || option === '-r') return ABSENT[option];
    return arg.replace(/^file:\/\/\/.*\//, 'file:///nonexistent/');
  });
  // A capture file has no sockets.
  return args.includes('-r') ? replaced : [...replaced, '--cgroup', ABSENT['--cgroup']];
}

function read(...path: readonly string[]): string {
  return readFileSync(join(PROJECT_ROOT, ...path), 'utf8');
}

/** Documents, or the help itself, with as many different commands as they have at least. */
const SOURCES = [
  { title: 'README.md', least: 8, texts: async () => [read('README.md')] },
  {
    title: 'contrib/',
    least: 3,
    texts: async () =>
      readdirSync(join(PROJECT_ROOT, 'contrib'), { withFileTypes: true })
        .filter((entry) => entry.isDirectory())
        .map(({ name }) => read('contrib', name, 'README.md')),
  },
  {
    title: 'export --help',
    least: 6,
    texts: async (t: Teardown) => [(await runProcflow(t, ['export', '--help'])).out],
  },
] as const;

for (const { title, least, texts } of SOURCES) {
  t.test(`procflow understands each command of ${title}`, { skip }, async (t) => {
    const commands = commandsIn((await texts(t)).join('\n'));
    t.ok(commands.length >= least, `${commands.length} commands`);
    await Promise.all(
      commands.map(async (command) => {
        const { end, err } = await runProcflow(t, ['export', ...harmless(words(command))]);
        t.equal(end.code, 1, `no usage error: ${command}`);
        t.match(err, ABSENT_NAMED, command);
      }),
    );
  });
}
