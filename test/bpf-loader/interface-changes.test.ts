// What the kernel tells of interfaces, octet by octet, and the list that is made of it.
import { execFileSync } from 'node:child_process';
import t from 'tap';
import { openInterfaceChanges } from '../../src/bpf-loader/interface-changes.js';
import { loadLibc } from '../../src/bpf-loader/native/libc.js';
import {
  openLinkNews,
  readLinkNews,
  type LinkNews,
} from '../../src/bpf-loader/native/netlink-links.js';
import { openNetworkNamespace } from '../../src/bpf-loader/network-namespace.js';
import { createNamespace } from '../support/network-namespace.js';
import { missingRequirement } from '../support/requirements.js';

const skip = missingRequirement();

function octets(...parts: readonly string[]): Buffer {
  return Buffer.from(parts.join('').replaceAll(' ', ''), 'hex');
}

const NEW_ETH0 = [
  '30000000 1000 0000 00000000 00000000', // 48 octets, RTM_NEWLINK
  '00 00 0100 07000000 43100100 00000000', // AF_UNSPEC, Ethernet, index 7
  '0600 1c00 0102 0000', // IFLA_PROTO_DOWN or whatever else, padded
  '0800 0300 65746800', // IFLA_IFNAME "eth"
] as const;
const DELETED_8 = ['20000000 1100 0000 00000000 00000000', '00 00 0100 08000000 00000000 00000000'];
const BRIDGE_PORT = [
  '20000000 1100 0000 00000000 00000000',
  '07 00 0100 07000000 00000000 00000000',
];

for (const { name, bytes, news } of [
  { name: 'a new interface', bytes: NEW_ETH0, news: [{ index: 7, name: 'eth' }] },
  { name: 'one that has left', bytes: DELETED_8, news: [{ index: 8, name: undefined }] },
  {
    name: 'two messages in one datagram',
    bytes: [...NEW_ETH0, ...DELETED_8],
    news: [
      { index: 7, name: 'eth' },
      { index: 8, name: undefined },
    ],
  },
  { name: 'a port that leaves its bridge is still there', bytes: BRIDGE_PORT, news: [] },
  { name: 'a message cut short', bytes: NEW_ETH0.slice(0, 3), news: [] },
  { name: 'a length of nothing', bytes: ['00000000'.repeat(12)], news: [] },
  {
    name: 'an attribute that is longer than its message',
    bytes: [...NEW_ETH0.slice(0, 3), 'ff00 0300 65746800'],
    news: [],
  },
]) {
  t.test(`news of links: ${name}`, (t) => {
    t.same(readLinkNews(octets(...bytes)), news);
    t.end();
  });
}

/** Interfaces as listed, and what is told at each look. */
function fakeKernel(looks: readonly (readonly LinkNews[] | 'too much')[]) {
  const left = [...looks];
  let lists = 0;
  const changes = openInterfaceChanges(
    { inode: 0, run: (act) => act(), isRemoved: () => false, close: () => undefined },
    {
      interfaces: () => {
        lists++;
        return new Map([[1, 'lo']]);
      },
    },
    () => ({ take: () => left.shift() ?? [], close: () => undefined }),
  );
  return { changes, lists: () => lists };
}

t.test('interfaces are listed once; then only what changed is looked at', (t) => {
  const eth0 = { index: 2, name: 'eth0' };
  const { changes, lists } = fakeKernel([
    [],
    [],
    [eth0],
    [{ index: 2, name: undefined }, eth0],
    [],
  ]);
  t.same(changes.look(), { present: new Map([[1, 'lo']]), left: 'unknown' }, 'the first look');
  t.equal(changes.look(), undefined);
  const both = new Map([
    [1, 'lo'],
    [2, 'eth0'],
  ]);
  t.same(changes.look(), { present: both, left: new Set() }, 'it appeared');
  t.same(changes.look(), { present: both, left: new Set([2]) }, 'it left and is back');
  t.equal(changes.look(), undefined);
  t.equal(lists(), 1);
  t.end();
});

t.test('when there was too much to tell, all are listed again', (t) => {
  const { changes, lists } = fakeKernel([[], 'too much', []]);
  changes.look();
  t.same(changes.look(), { present: new Map([[1, 'lo']]), left: 'unknown' });
  t.equal(changes.look(), undefined);
  t.equal(lists(), 2);
  t.end();
});

t.test(
  'the kernel tells of interfaces of a namespace that come, are renamed and go',
  { skip },
  (t) => {
    const { name, path } = createNamespace(t);
    const ip = (...args: readonly string[]): void => {
      execFileSync('ip', ['-n', name, 'link', ...args]);
    };
    const namespace = openNetworkNamespace(path, loadLibc());
    const changes = openInterfaceChanges(namespace, loadLibc());
    t.teardown(() => {
      changes.close();
      namespace.close();
    });
    t.same(changes.look()?.present, new Map([[1, 'lo']]));
    ip('add', 'veth7', 'index', '77', 'type', 'veth', 'peer', 'name', 'veth8', 'index', '78');
    ip('set', 'veth7', 'name', 'uplink');
    t.same(
      changes.look()?.present,
      new Map([
        [1, 'lo'],
        [77, 'uplink'],
        [78, 'veth8'],
      ]),
    );
    t.equal(changes.look(), undefined);
    ip('del', 'uplink');
    t.same(changes.look(), { present: new Map([[1, 'lo']]), left: new Set([77, 78]) });
    t.end();
  },
);

t.test('more news than there is room for are known to be lost', { skip }, (t) => {
  const { name, path } = createNamespace(t);
  const namespace = openNetworkNamespace(path, loadLibc());
  const news = namespace.run(openLinkNews);
  t.teardown(() => {
    news?.close();
    namespace.close();
  });
  const lines = Array.from({ length: 20_000 }, (_, i) => `link set lo alias a${i}`);
  execFileSync('ip', ['-n', name, '-batch', '-'], { input: lines.join('\n') });
  t.equal(news?.take(), 'too much');
  t.same(news?.take(), [], 'and the old ones are gone');
  t.end();
});
