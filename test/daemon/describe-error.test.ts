import t from 'tap';
import { BpfError } from '../../src/bpf-loader/bpf-error.js';
import { ConfigError } from '../../src/daemon/config-error.js';
import { describeError } from '../../src/daemon/describe-error.js';
import { ExportError } from '../../src/exporter/export-error.js';

t.test('says of each kind of error whether it is usage, and whether it was foreseen', async (t) => {
  const cases = [
    {
      error: new ConfigError('-n x', 'has no port', 'give HOST:PORT'),
      line: '-n x: has no port (give HOST:PORT)',
      isUsage: true,
      isUnexpected: false,
    },
    {
      error: new BpfError('EPERM', 'attach flow_egress to eth0', 'needs CAP_NET_ADMIN'),
      line: 'attach flow_egress to eth0: EPERM (needs CAP_NET_ADMIN)',
      isUsage: false,
      isUnexpected: false,
    },
    {
      error: new ExportError('address-in-use', 'bind 127.0.0.1:2055', 'another program has it'),
      line: 'bind 127.0.0.1:2055: another program has it',
      isUsage: false,
      isUnexpected: false,
    },
    { error: new TypeError('x is not y'), line: 'x is not y', isUsage: false, isUnexpected: true },
    { error: 'a string', line: 'a string', isUsage: false, isUnexpected: true },
    { error: new Error(''), line: 'unknown error', isUsage: false, isUnexpected: true },
    { error: new Error('a\n  b\n\n'), line: 'a; b', isUsage: false, isUnexpected: true },
  ];
  for (const { error, ...expected } of cases) t.match(describeError(error), expected);
});

t.test("details hold the verifier's log and the stacks of all causes", async (t) => {
  const error = new BpfError('EACCES', 'load', 'a defect', 'R1 invalid mem access\n');
  t.match(describeError(error).details, /^R1 invalid mem access\nBpfError: load/);
  const outer = new Error('outer', { cause: new Error('inner') });
  t.match(describeError(outer).details, /Error: outer[^]*Error: inner/);
});
