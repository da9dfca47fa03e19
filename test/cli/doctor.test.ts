import t from 'tap';
import { featureLines } from '../../src/cli/doctor.js';
import { paintFor } from '../../src/cli/terminal-style.js';

const BTF = {
  name: 'BTF',
  found: true,
  required: true,
  detail: '/sys/kernel/btf',
  consequence: 'x',
};
const TCX = {
  name: 'TCX links',
  found: false,
  required: false,
  detail: 'Linux 6.1\n',
  consequence: 'clsact is used',
};
const BPF = { name: 'libbpf', found: false, required: true, detail: '', consequence: 'install it' };

t.test('a table with the cost of what is missing below it', async (t) => {
  t.same(featureLines([BTF, TCX, BPF], paintFor({}, {})), [
    'BTF        found    /sys/kernel/btf',
    'TCX links  missing  Linux 6.1\\x0a',
    '                    clsact is used',
    'libbpf     MISSING',
    '                    install it',
  ]);
});

t.test('colours tell required from optional on a terminal', async (t) => {
  const text = featureLines([BTF, TCX, BPF], paintFor({ isTTY: true }, {})).join('\n');
  t.match(text, '\x1b[32mfound');
  t.match(text, '\x1b[33mmissing');
  t.match(text, '\x1b[31mMISSING');
});
