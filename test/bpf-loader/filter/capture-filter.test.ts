// A filter expression on frames of capture files, of any link type.
import t from 'tap';
import { BpfError } from '../../../src/bpf-loader/bpf-error.js';
import { openCaptureFilter } from '../../../src/bpf-loader/filter/capture-filter.js';
import { FilterError } from '../../../src/bpf-loader/filter/compile-filter.js';
import { checkFilter } from '../../../src/bpf-loader/filter/packet-filter.js';
import { ethernet, hex, ipv4, ipv6, udp } from '../../support/packet-bytes.js';

const datagram = ipv4({ protocol: 17 }, udp(20, [1000, 53]));

/** By LINKTYPE_ number, what is before the packet. */
const LINK_LAYERS = [
  { name: 'BSD loopback, little endian', linkType: 0, before: '02000000' },
  { name: 'BSD loopback, big endian', linkType: 0, before: '00000002', isBigEndian: true },
  { name: 'Ethernet', linkType: 1, before: '020000000002 020000000001 0800' },
  { name: 'raw IP', linkType: 101, before: '' },
  { name: 'OpenBSD loopback', linkType: 108, before: '00000002' },
  { name: 'Linux cooked', linkType: 113, before: '0000 0001 0006 020000000001 0000 0800' },
  { name: 'raw IPv4', linkType: 228, before: '' },
  {
    name: 'Linux cooked v2',
    linkType: 276,
    before: '0800 0000 00000001 0001 00 06 0200000000010000',
  },
] as const;

t.test('the same expression matches the packet in every link layer', async (t) => {
  for (const { name, linkType, before, ...order } of LINK_LAYERS) {
    const isBigEndian = 'isBigEndian' in order;
    const frame = Buffer.concat([hex(before), datagram]);
    const matches = (expression: string): boolean => {
      const filter = openCaptureFilter(expression, linkType, isBigEndian);
      t.teardown(() => {
        filter.close();
      });
      return filter.matches(frame, 0, frame.length, frame.length);
    };
    t.ok(matches('udp port 53'), name);
    t.ok(matches('src host 10.0.0.1'), name);
    t.notOk(matches('udp port 54'), name);
    t.notOk(matches('tcp'), name);
  }
});

t.test('a frame is found where it stands in the buffer, and ends where it ends', async (t) => {
  const frame = ethernet('ipv6', ipv6({ nextHeader: 17 }, udp(4)));
  const bytes = Buffer.concat([Buffer.alloc(100, 0xff), frame, Buffer.alloc(100, 0xff)]);
  const filter = openCaptureFilter('ip6 and udp dst port 53', 1);
  const end = 100 + frame.length;
  t.ok(filter.matches(bytes, 100, end, frame.length));
  t.notOk(filter.matches(bytes, 99, end, frame.length), 'an octet before');
  t.ok(filter.matches(bytes, 100, 100 + 14 + 40 + 4, frame.length), 'with the ports');
  t.notOk(filter.matches(bytes, 100, 100 + 14 + 40 + 3, frame.length), 'cut before their end');
  t.ok(filter.matches(Buffer.from(frame), 0, frame.length, frame.length), 'in another buffer');
  t.ok(filter.matches(bytes, 100, end, frame.length), 'in the first one again');
});

t.test('lengths are those on the wire', async (t) => {
  const frame = ethernet('ipv4', datagram);
  const filter = openCaptureFilter('greater 1000', 1);
  t.ok(filter.matches(frame, 0, frame.length, 1000));
  t.notOk(filter.matches(frame, 0, frame.length, 999));
});

t.test('an expression that libpcap does not take is told in its words', async (t) => {
  const refused = [
    { expression: 'udp prot 53', linkType: 1, says: /"udp prot 53": .*syntax error/ },
    { expression: 'ether host 02:00:00:00:00:01', linkType: 101, says: /only on ethernet/ },
    { expression: 'ip', linkType: 9999, says: /unknown data link type 9999/ },
    { expression: 'host 1.2.3.4.5', linkType: 1, says: /1\.2\.3\.4\.5/ },
  ];
  for (const { expression, linkType, says } of refused) {
    t.throws(() => openCaptureFilter(expression, linkType), FilterError, expression);
    t.throws(() => openCaptureFilter(expression, linkType), says, expression);
  }
});

t.test('what can be filtered depends on where packets are metered', async (t) => {
  checkFilter('ether multicast', 'interface');
  checkFilter('ip broadcast', 'interface');
  checkFilter('ip6 and udp', 'sockets');
  t.throws(() => {
    checkFilter('ether multicast', 'sockets');
  }, FilterError);
  t.throws(() => {
    checkFilter('ip broadcast', 'sockets');
  }, /netmask not known/);
});

t.test('without libpcap it is said how to get it', async (t) => {
  const before = process.env.PROCFLOW_LIBPCAP;
  process.env.PROCFLOW_LIBPCAP = '/nonexistent/libpcap.so';
  t.teardown(() => {
    if (before === undefined) delete process.env.PROCFLOW_LIBPCAP;
    else process.env.PROCFLOW_LIBPCAP = before;
  });
  t.throws(() => openCaptureFilter('ip', 1), BpfError);
  t.throws(() => openCaptureFilter('ip', 1), /nonexistent.*apt-get install libpcap0\.8/);
});
