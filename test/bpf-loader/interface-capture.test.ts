// Which interfaces are tried, with which filter, and how often.
import { openSync } from 'node:fs';
import t from 'tap';
import type { BpfObject } from '../../src/bpf-loader/bpf-object.js';
import { FilterError } from '../../src/bpf-loader/filter/compile-filter.js';
import type { PacketFilter } from '../../src/bpf-loader/filter/packet-filter.js';
import { captureAtInterfaces } from '../../src/bpf-loader/interface-capture.js';
import type { Libc } from '../../src/bpf-loader/native/libc.js';
import type { NetworkNamespace } from '../../src/bpf-loader/network-namespace.js';

const NONE = 65534; // ARPHRD_NONE: without link layer
const ETHERNET = 1;
const LOOPBACK = 772;
const INTERFACES = new Map([
  [2, { name: 'mirror0', linkType: ETHERNET }],
  [3, { name: 'tun0', linkType: NONE }],
]);

const libc = {
  interfaces: () => new Map([...INTERFACES].map(([index, { name }]) => [index, name])),
  interfaceIndex: (wanted) =>
    [...INTERFACES.keys()].find((index) => INTERFACES.get(index)?.name === wanted) ?? 0,
  linkType: (wanted) => [...INTERFACES.values()].find(({ name }) => name === wanted)?.linkType,
  // They have no address.
  netmask: () => undefined,
} as Partial<Libc> as Libc;

/** At each look, something has happened. */
const changes = {
  look: () => ({ present: libc.interfaces(), left: new Set<number>() }),
  close: () => undefined,
};

const object = {
  // Links are descriptors.
  libbpf: { queryTc: () => -1, createLink: () => openSync('/dev/null', 'r') },
} as unknown as BpfObject;

const namespace: NetworkNamespace = {
  inode: 0,
  run: (act) => act(),
  isRemoved: () => false,
  close: () => undefined,
};

t.test('an interface that the filter is nothing for is tried once', async (t) => {
  const tried: (readonly [string, number | undefined])[] = [];
  const filter: PacketFilter = {
    programFd: (program, netmask) => {
      tried.push([program, netmask]);
      if (program.endsWith('_ip')) throw new FilterError('ether multicast', 'only on ethernet');
      return 0;
    },
    close: () => undefined,
  };
  const notices: string[] = [];
  const onNotice = (line: string): void => {
    notices.push(line);
  };
  const options = { interfaces: 'any', attach: 'tcx', onNotice } as const;
  const capture = captureAtInterfaces(object, { libc, namespace, changes }, options, filter);
  t.teardown(() => {
    capture.close();
  });
  for (let i = 0; i < 3; i++) t.equal(capture.rescanInterfaces(), false);
  t.same(capture.metered(), { interfaces: ['mirror0'] });
  t.same(
    tried,
    [
      ['flow_ingress', 0],
      ['flow_egress', 0],
      ['flow_ingress_ip', 0],
    ],
    'with the mask that tcpdump takes where there is no address',
  );
  t.match(notices, [/^interface tun0 is not metered: filter "ether multicast"/]);
});

/** Interfaces that a test changes, with the attachments that there are of each index. */
function changingInterfaces(interfaces: Map<number, string>) {
  const attached: number[] = [];
  const seen = { left: new Set<number>(), notices: [] as string[] };
  const capture = captureAtInterfaces(
    {
      libbpf: {
        queryTc: () => -1,
        createLink: (_program: number, index: number) => {
          attached.push(index);
          return openSync('/dev/null', 'r');
        },
        linkInterface: () => 0, // whatever is in doubt is not attached any more
      },
      programFd: () => 0,
    } as unknown as BpfObject,
    {
      libc: {
        interfaces: () => interfaces,
        interfaceIndex: (wanted) => [...interfaces].find(([, name]) => name === wanted)?.[0] ?? 0,
        linkType: () => LOOPBACK, // one link each
        netmask: () => undefined,
      } as Partial<Libc> as Libc,
      namespace,
      changes: {
        look: () => ({ present: new Map(interfaces), left: seen.left }),
        close: () => undefined,
      },
    },
    { interfaces: 'any', attach: 'tcx', onNotice: (line) => void seen.notices.push(line) },
  );
  return { capture, attached, seen };
}

t.test('interfaces that swap their names stay attached, once each', (t) => {
  const interfaces = new Map([
    [2, 'a'],
    [3, 'b'],
  ]);
  const { capture, attached, seen } = changingInterfaces(interfaces);
  t.teardown(capture.close);
  interfaces.set(2, 'b').set(3, 'a');
  capture.rescanInterfaces();
  t.same(attached, [2, 3]);
  t.same(capture.metered(), { interfaces: ['b', 'a'] });
  t.same(seen.notices, ['interface a is called b now', 'interface b is called a now']);
  t.end();
});

t.test('one that was gone in between is attached to again', (t) => {
  const { capture, attached, seen } = changingInterfaces(
    new Map([
      [2, 'a'],
      [3, 'b'],
    ]),
  );
  t.teardown(capture.close);
  seen.left.add(3);
  capture.rescanInterfaces();
  t.same(attached, [2, 3, 3]);
  t.same(seen.notices, ['interface b is gone', 'interface b appeared and is metered']);
  t.end();
});

t.test('of many that come at once one line tells', (t) => {
  const interfaces = new Map([[1, 'lo']]);
  const { capture, seen } = changingInterfaces(interfaces);
  t.teardown(capture.close);
  for (let i = 2; i < 12; i++) interfaces.set(i, `c${i}`);
  while (capture.rescanInterfaces()) continue;
  const names = 'c2, c3, c4, c5, c6, c7, c8, c9';
  t.same(seen.notices, [`interfaces ${names} and 2 more appeared and are metered`]);
  t.end();
});
