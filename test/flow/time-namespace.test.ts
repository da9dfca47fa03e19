// How far the clock of a time namespace is from the kernel's.
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { readBootOffsetNs } from '../../src/flow/time-namespace.js';

const OWN = 'time:[4026531834]';
const OTHER = 'time:[4026532247]';

for (const { name, children, offsets, offsetNs } of [
  {
    name: 'later',
    children: OWN,
    offsets: 'monotonic         500         0\nboottime      1000000         7\n',
    offsetNs: 1_000_000_000_000_007n,
  },
  {
    name: 'earlier',
    children: OWN,
    offsets: 'monotonic           0         0\nboottime           -5 500000000\n',
    offsetNs: -4_500_000_000n,
  },
  { name: 'for children only', children: OTHER, offsets: 'boottime 5 0\n', offsetNs: 0n },
  { name: 'nonsense', children: OWN, offsets: 'boottime soon\n', offsetNs: 0n },
]) {
  t.test(`the offset of a time namespace: ${name}`, (t) => {
    const directory = t.testdir();
    mkdirSync(join(directory, 'ns'));
    symlinkSync(OWN, join(directory, 'ns/time'));
    symlinkSync(children, join(directory, 'ns/time_for_children'));
    writeFileSync(join(directory, 'timens_offsets'), offsets);
    t.equal(readBootOffsetNs(directory), offsetNs);
    t.end();
  });
}

t.test('a kernel without time namespaces has no offset', (t) => {
  t.equal(readBootOffsetNs(t.testdir()), 0n);
  t.end();
});
