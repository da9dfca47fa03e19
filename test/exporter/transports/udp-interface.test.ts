// UDP by a chosen interface, and to multicast groups: in network namespaces of the test's own.
import { execFileSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import type { Socket } from 'node:dgram';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import t from 'tap';
import { loadExportSockets } from '../../../src/bpf-loader/export-sockets.js';
import { createUdpTransport } from '../../../src/exporter/transports/udp-transport.js';
import type { UdpTransportOptions } from '../../../src/exporter/transports/udp-transport.js';
import { ChangingName } from '../../support/changing-name.js';
import { enter, linkedNamespaces } from '../../support/entered-namespace.js';
import type { Namespace } from '../../support/network-namespace.js';
import { startProgram } from '../../support/program.js';
import type { Teardown } from '../../support/program.js';
import { missingRequirement } from '../../support/requirements.js';
import { eventually } from '../../support/tcp-collector.js';

const skip = missingRequirement();
const { openUdpSocket: openSocket } = loadExportSockets();
const PORT = 9995;
const FAMILIES = [
  { family: 'IPv4', key: 'ipv4', group: '239.1.2.3', hops: /ttl 7,/ },
  { family: 'IPv6', key: 'ipv6', group: 'ff15::1:7', hops: /hlim 7,/ },
] as const;

/** In the namespace that was entered. */
async function receiver(t: Teardown, address: string): Promise<Socket> {
  const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4');
  socket.bind(PORT, address);
  await once(socket, 'listening');
  t.teardown(() => void socket.close());
  return socket;
}

/** The kernel adds it some time after the link came up. */
async function multicastRoute({ name }: Namespace): Promise<void> {
  const show = ['-n', name, '-6', 'route', 'show', 'table', 'local', 'type', 'multicast'];
  while (execFileSync('ip', show).length === 0) await delay(10);
}

async function send(t: Teardown, text: string, options: Partial<UdpTransportOptions>) {
  const transport = createUdpTransport({ host: '', port: PORT, openSocket, ...options });
  await transport.open();
  t.teardown(() => transport.close());
  await transport.ready();
  await transport.send(Buffer.from(text), text.length);
}

for (const { family, key, group, hops } of FAMILIES) {
  t.test(`${family}: messages leave by the interface that was chosen`, { skip }, async (t) => {
    const { a, b } = linkedNamespaces(t);
    const ip = (...args: string[]) => execFileSync('ip', ['-n', a.name, ...args]);
    // The route to the collector now leads to where nobody is.
    ip('link', 'add', 'other0', 'type', 'veth', 'peer', 'name', 'other1');
    ip('link', 'set', 'other0', 'up');
    ip('link', 'set', 'other1', 'up');
    ip('route', 'add', b[key], 'dev', 'other0');
    enter(b);
    const collector = await receiver(t, b[key]);
    const received = once(collector, 'message');
    enter(a);
    await send(t, 'by the route', { host: b[key] });
    const source = { address: a[key], port: 4739 };
    await send(t, 'by veth0', { host: b[key], device: a.interfaceName, source });
    const [bytes, sender] = (await received) as [Buffer, { address: string; port: number }];
    t.equal(bytes.toString(), 'by veth0');
    t.match(sender, source);
  });

  t.test(`${family}: a multicast group is reached, by so many routers`, { skip }, async (t) => {
    const { a, b } = linkedNamespaces(t);
    if (key === 'ipv6') await multicastRoute(b);
    enter(b);
    const collector = await receiver(t, key === 'ipv4' ? '0.0.0.0' : '::');
    const memberAt = key === 'ipv4' ? b.ipv4 : `::%${b.interfaceName}`;
    collector.addMembership(group, memberAt);
    const listen = ['netns', 'exec', b.name, 'tcpdump', '-lnvi', b.interfaceName];
    const tcpdump = startProgram(t, 'ip', [...listen, 'udp', 'and', 'port', String(PORT)]);
    await tcpdump.line('err', /listening on/);
    enter(a);
    const texts: string[] = [];
    const both = new Promise<void>((resolve) => {
      collector.on('message', (bytes) => {
        texts.push(bytes.toString());
        if (texts.length === 2) resolve();
      });
    });
    const options = { host: group, multicastHops: 7 };
    await send(t, 'by the source', { ...options, source: { address: a[key] } });
    await send(t, 'by the interface', { ...options, device: a.interfaceName });
    await both;
    t.same(texts, ['by the source', 'by the interface']);
    await tcpdump.line('out', /UDP, length 16/);
    const headers = tcpdump.out.filter((line) => line.includes(' IP'));
    t.equal(headers.length, 2);
    for (const header of headers) t.match(header, hops);
  });
}

t.test('an interface that comes back is used again, in a new session', { skip }, async (t) => {
  const { a, b } = linkedNamespaces(t);
  const ip = (...args: string[]) => execFileSync('ip', ['-n', a.name, ...args]);
  const addOther = (): void => {
    ip('link', 'add', 'other0', 'type', 'veth', 'peer', 'name', 'other1');
    ip('addr', 'add', '10.97.0.1/24', 'dev', 'other0');
    ip('link', 'set', 'other0', 'up');
    ip('link', 'set', 'other1', 'up');
  };
  enter(a);
  addOther();
  const notices: string[] = [];
  const transport = createUdpTransport({
    host: '10.97.0.2',
    port: PORT,
    device: 'other0',
    openSocket,
    retryIntervalMs: 0,
    onNotice: (text) => notices.push(text),
  });
  await transport.open();
  t.teardown(() => transport.close());
  const message = Buffer.from('a message');
  t.equal(await transport.ready(), 1);
  await transport.send(message, 9);
  ip('link', 'del', 'other0');
  await t.rejects(transport.send(message, 9), { code: 'send' });
  const ready = transport.ready();
  await eventually(() => notices.length > 0);
  t.match(notices, ['open a UDP socket on interface other0: ENODEV']);
  await t.rejects(transport.send(message, 9), { code: 'send', message: /there is no socket/ });
  addOther();
  t.equal(await ready, 2, 'messages wait for it');
  await transport.send(message, 9);
  t.equal(b.interfaceName, 'veth0');
});

t.test('a route that is not there yet, as at boot, is awaited', { skip }, async (t) => {
  const { a, b } = linkedNamespaces(t);
  enter(b);
  const collector = await receiver(t, '0.0.0.0');
  execFileSync('ip', ['-n', b.name, 'addr', 'add', '10.97.0.2/24', 'dev', b.interfaceName]);
  enter(a);
  const name = new ChangingName();
  const host = '10.97.0.2';
  const options = { host, port: PORT, retryIntervalMs: 5, onNotice: name.notice };
  const transport = createUdpTransport(options);
  await transport.open();
  t.teardown(() => transport.close());
  const notice = await name.nextNotice();
  t.match(
    notice,
    /^open a socket to udp:\/\/10\.97\.0\.2:9995: ENETUNREACH .*; messages wait, tried/,
  );
  const ready = transport.ready();
  execFileSync('ip', ['-n', a.name, 'route', 'add', '10.97.0.0/24', 'dev', a.interfaceName]);
  t.equal(await ready, 1);
  const received = once(collector, 'message');
  await transport.send(Buffer.from('a message'), 9);
  await received;
});

t.test('an interface that does not exist is an error that says so', async (t) => {
  const cases = [
    {
      device: 'no-such',
      openSocket,
      code: 'connect',
      message: /no-such: ENODEV \(`ip link`/,
    },
    { device: 'lo-with-a-long-name', openSocket, code: 'connect', message: /ENODEV/ },
    { device: 'lo', openSocket: undefined, code: 'bad-option', message: /cannot bind/ },
  ];
  for (const { code, message, ...device } of cases) {
    const transport = createUdpTransport({ host: '127.0.0.1', port: PORT, ...device });
    await t.rejects(transport.open(), { name: 'ExportError', code, message });
  }
});

t.test('a source that is taken or not here is refused on an interface too', async (t) => {
  const other = createSocket('udp4');
  other.bind(0, '127.0.0.1');
  await once(other, 'listening');
  t.teardown(() => void other.close());
  const cases = [
    { source: { address: '127.0.0.1', port: other.address().port }, code: 'address-in-use' },
    { source: { address: '192.0.2.77' }, code: 'connect' },
  ];
  for (const { source, code } of cases) {
    const device = { device: 'lo', openSocket, source };
    const transport = createUdpTransport({ host: '127.0.0.1', port: PORT, ...device });
    await t.rejects(transport.open(), { name: 'ExportError', code, message: /^bind the source/ });
  }
});
