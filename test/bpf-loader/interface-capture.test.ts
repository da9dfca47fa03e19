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

const object = {
  // Links are descriptors.
  libbpf: { createLink: () => openSync('/dev/null', 'r') },
} as unknown as BpfObject;

const namespace = { run: (act: () => unknown) => act() } as unknown as NetworkNamespace;

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
  const capture = captureAtInterfaces(object, libc, namespace, options, filter);
  t.teardown(() => {
    capture.close();
  });
  for (let i = 0; i < 3; i++) capture.rescanInterfaces();
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
