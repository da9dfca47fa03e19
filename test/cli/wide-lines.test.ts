import t from 'tap';
import { wideLines } from '../../src/cli/wide-lines.js';
import { FLOW_FLAG } from '../../src/flow/flow-contract.gen.js';
import type { ProcessIdentity } from '../../src/flow/process-directory.js';
import { DIRECTORY, NOTHING_KNOWN, flowRecord, type RecordValues } from './record-bytes.js';

const SENT: RecordValues = { ip_version: 4, protocol: 6, direction: 1 };
const LOOPBACK: RecordValues = { ...SENT, flags: FLOW_FLAG.FLOW_LOOPBACK };
const CURL = {
  commandLine: 'curl -s http://192.0.2.1/',
  executable: '/usr/bin/curl',
  parentPid: 311,
  parentName: 'bash',
  unit: 'session-1.scope',
};

/** Lines below a flow between the processes 1 and 2. */
function lines(
  values: RecordValues,
  identities: Readonly<Record<number, Partial<ProcessIdentity>>>,
  columns = Infinity,
): string[] {
  const directory: typeof DIRECTORY = {
    ...DIRECTORY,
    identity: (record, side) => {
      const identity = identities[record.pid(side)];
      return identity && { ...NOTHING_KNOWN, ...identity };
    },
  };
  return wideLines(flowRecord(values, { pid: 1 }, { pid: 2 }), directory, columns);
}

function line(identity: Partial<ProcessIdentity>, columns?: number): string | undefined {
  return lines(LOOPBACK, { 1: identity }, columns)[0]?.trimStart();
}

t.test('command line, place and parent', async (t) => {
  t.equal(line(CURL), 'curl -s http://192.0.2.1/  (session-1.scope, child of bash[311])');
  t.equal(line({ ...CURL, commandLine: '' })?.slice(0, 15), '/usr/bin/curl  ');
  t.equal(line({ ...CURL, parentPid: 0, unit: '' }), 'curl -s http://192.0.2.1/');
  t.equal(line({ parentPid: 311 }), '(child of [311])');
  t.equal(line({}), undefined, 'nothing is known');
});

t.test('a container stands in the place of the unit, by its short id', async (t) => {
  const containerId = '0123456789abcdef'.repeat(4);
  const place = (identity: Partial<ProcessIdentity>): string | undefined =>
    line({ unit: 'docker-0123.scope', ...identity });
  t.equal(place({ containerId, containerRuntime: 'docker' }), '(docker:0123456789ab)');
  t.equal(place({ containerId }), '(0123456789ab)');
  t.equal(
    place({ containerId: 'web-frontend-1', containerRuntime: 'lxc' }),
    '(lxc:web-frontend-1)',
  );
});

t.test('both processes of a loopback flow have a line, in its order', async (t) => {
  const both = { 1: { commandLine: 'curl' }, 2: { commandLine: 'nginx' } };
  t.same(lines(LOOPBACK, both), [`${' '.repeat(14)}   curl`, `${' '.repeat(14)}-> nginx`]);
  t.same(lines(LOOPBACK, { 2: both[2] }), [`${' '.repeat(14)}-> nginx`]);
});

t.test('a flow without a process of this host has none', async (t) => {
  t.same(wideLines(flowRecord(SENT, { pid: 0 }), DIRECTORY, 80), []);
  t.same(wideLines(flowRecord(SENT), DIRECTORY, 80), []);
});

t.test('nothing of a command line steers the terminal', async (t) => {
  const commandLine = 'a\x1b]0;pwn\x07\nb\u202ec';
  const hostile = { commandLine, unit: '\x1b[2J', parentPid: 1, parentName: '\r', containerId: '' };
  t.equal(line(hostile), 'a\\x1b]0;pwn\\x07\\x0ab\\u{202e}c  (\\x1b[2J, child of \\x0d[1])');
  t.equal(line({ containerId: '\x9b', containerRuntime: '\x00' }), '(\\x00:\\x9b)');
});

t.test('on a terminal the command line gives way, up to a limit', async (t) => {
  const long = { ...CURL, commandLine: `curl ${'x'.repeat(300)}` };
  const shown = lines(LOOPBACK, { 1: long }, 100)[0] ?? '';
  t.equal(Array.from(shown).length, 100);
  t.match(shown, /x… {2}\(session-1\.scope, child of bash\[311\]\)$/);
  t.equal(line(long, 10), `curl ${'x'.repeat(14)}…  (session-1.scope, child of bash[311])`);
});
