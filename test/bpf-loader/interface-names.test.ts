// Names and aliases of interfaces, here and in another network namespace.
import { execFileSync } from 'node:child_process';
import { networkInterfaces } from 'node:os';
import t from 'tap';
import { BpfError } from '../../src/bpf-loader/bpf-error.js';
import { openInterfaceNames } from '../../src/bpf-loader/interface-names.js';
import { createNamespace } from '../support/network-namespace.js';
import { missingRequirement } from '../support/requirements.js';

const skip = missingRequirement();

t.test('the own interfaces have their index and name', (t) => {
  const { interfaces, close } = openInterfaceNames(undefined);
  t.teardown(close);
  t.match(
    interfaces().find(({ index }) => index === 1),
    { name: 'lo' },
  );
  const names = new Set(interfaces().map(({ name }) => name));
  for (const name of Object.keys(networkInterfaces())) t.ok(names.has(name), name);
  t.end();
});

t.test('a namespace that is not there is an error', (t) => {
  t.throws(() => openInterfaceNames('no-such-namespace'), BpfError);
  t.end();
});

t.test('interfaces of another namespace, as they come and go', { skip }, (t) => {
  const { name } = createNamespace(t);
  const ip = (...args: readonly string[]): void => {
    execFileSync('ip', ['-n', name, ...args]);
  };
  const { interfaces, close } = openInterfaceNames(name);
  t.teardown(close);
  t.same(interfaces(), [{ index: 1, name: 'lo', description: '' }]);
  ip('link', 'add', 'veth7', 'index', '77', 'type', 'veth', 'peer', 'name', 'veth8');
  ip('link', 'set', 'veth7', 'alias', 'not readable from here');
  t.same(
    interfaces().find(({ index }) => index === 77),
    { index: 77, name: 'veth7', description: '' },
  );
  ip('link', 'del', 'veth7');
  t.equal(interfaces().length, 1);
  t.end();
});

t.test('an alias is the description where /sys is of the own namespace', { skip }, (t) => {
  const { name } = createNamespace(t);
  const alias = 'up "link"';
  execFileSync('ip', ['-n', name, 'link', 'set', 'lo', 'alias', alias]);
  const module = new URL('../../src/bpf-loader/interface-names.js', import.meta.url).href;
  const script = `const { openInterfaceNames } = await import('${module}');
    console.log(JSON.stringify(openInterfaceNames(undefined).interfaces()));`;
  const node = [process.execPath, '--input-type=module', '-e', script] as const;
  // ip mounts the namespace's own /sys
  const out = execFileSync('ip', ['netns', 'exec', name, ...node], { encoding: 'utf8' });
  t.same(JSON.parse(out), [{ index: 1, name: 'lo', description: alias }]);
  t.end();
});
