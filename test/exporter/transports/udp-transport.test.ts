// Real sockets, all on loopback.
import { createSocket } from 'node:dgram';
import type { Socket } from 'node:dgram';
import { once } from 'node:events';
import t from 'tap';
import { createUdpTransport } from '../../../src/exporter/transports/udp-transport.js';
import { freeUdpPort } from '../../support/nfcapd.js';
import type { Teardown } from '../../support/program.js';
import { ChangingName } from '../../support/changing-name.js';

const MESSAGE = Buffer.from('a message and what is behind it');
const OCTETS = 9;

async function receiver(t: Teardown, address: string): Promise<Socket> {
  const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4');
  socket.bind(0, address);
  await once(socket, 'listening');
  t.teardown(() => void socket.close());
  return socket;
}

const DESTINATIONS = [
  { name: 'IPv4', host: '127.0.0.1', address: '127.0.0.1', destination: '127.0.0.1' },
  { name: 'IPv6', host: '::1', address: '::1', destination: '[::1]' },
] as const;

for (const { name, host, address, destination } of DESTINATIONS) {
  t.test(`a message reaches a collector at an ${name} address`, async (t) => {
    const collector = await receiver(t, address);
    const { port } = collector.address();
    const transport = createUdpTransport({ host, port });
    t.equal(transport.destination, `udp://${destination}:${port}`);
    await transport.open();
    const received = once(collector, 'message');
    await transport.send(MESSAGE, OCTETS);
    const [bytes] = (await received) as [Buffer];
    t.equal(bytes.toString(), 'a message');
    await transport.close();
    await transport.close();
  });
}

t.test('a name is looked up in the family of the source, which is then used', async (t) => {
  const collector = await receiver(t, '127.0.0.1');
  const sourcePort = await freeUdpPort();
  const source = { address: '127.0.0.2', port: sourcePort };
  const { port } = collector.address();
  const transport = createUdpTransport({ host: 'localhost', port, source });
  await transport.open();
  t.teardown(() => transport.close());
  const received = once(collector, 'message');
  await transport.send(MESSAGE, OCTETS);
  const [, sender] = (await received) as [Buffer, { address: string; port: number }];
  t.match(sender, source);
});

t.test('a source port that is taken is refused', async (t) => {
  const other = await receiver(t, '127.0.0.1');
  const { port } = other.address();
  const source = { address: '127.0.0.1', port };
  const transport = createUdpTransport({ host: '127.0.0.1', port: 9995, source });
  await t.rejects(transport.open(), {
    name: 'ExportError',
    code: 'address-in-use',
    message: `bind the source 127.0.0.1 port ${port}: EADDRINUSE: another program has this port (choose another, or none for any)`,
  });
});

t.test('other reasons not to open are named', async (t) => {
  const cases = [
    { host: '127.0.0.1', address: '192.0.2.77', code: 'connect', message: /EADDRNOTAVAIL/ },
    { host: '127.0.0.1', address: '::1', code: 'bad-option', message: /IPv6.*IPv4/ },
    { host: '127.0.0.1', address: 'eth0', code: 'bad-option', message: /not an IPv4 or IPv6/ },
    {
      host: 'no-such-host.invalid',
      code: 'name-lookup',
      message: /^look up the collector no-such/,
    },
  ];
  for (const { host, address, code, message } of cases) {
    const source = address === undefined ? undefined : { address };
    const transport = createUdpTransport({ host, port: 9995, source });
    await t.rejects(transport.open(), { name: 'ExportError', code, message });
  }
});

t.test('a collector that does not listen does no harm, and is counted', async (t) => {
  const port = await freeUdpPort();
  const transport = createUdpTransport({ host: '127.0.0.1', port });
  await transport.open();
  t.teardown(() => transport.close());
  for (let i = 0; i < 20; i++) await transport.send(MESSAGE, OCTETS).catch(() => undefined);
  t.ok(transport.refusals() > 0, `${transport.refusals()} refusals`);

  const collector = createSocket('udp4');
  t.teardown(() => void collector.close());
  collector.bind(port, '127.0.0.1');
  await once(collector, 'listening');
  const received = once(collector, 'message');
  await transport.send(MESSAGE, OCTETS);
  await received;
});

t.test('a message above the length of a datagram is an error that says so', async (t) => {
  const collector = await receiver(t, '127.0.0.1');
  const transport = createUdpTransport({ host: '127.0.0.1', port: collector.address().port });
  await t.rejects(transport.send(MESSAGE, OCTETS), { code: 'not-open' });
  await transport.open();
  t.teardown(() => transport.close());
  await t.rejects(transport.send(Buffer.alloc(70_000), 70_000), {
    name: 'ExportError',
    code: 'send',
    message: /^send a message of 70000 octets to udp:\/\/127\.0\.0\.1:\d+: EMSGSIZE \(lower/,
  });
});

t.test('nothing is sent before open() and after close()', async (t) => {
  const transport = createUdpTransport({ host: '127.0.0.1', port: 9995 });
  await t.rejects(transport.ready(), { code: 'not-open' });
  await transport.open();
  await transport.close();
  await t.rejects(transport.ready(), { code: 'not-open' });
  await t.rejects(transport.send(MESSAGE, OCTETS), { code: 'not-open' });
});

t.test('a collector that moves is followed, by a new session', async (t) => {
  const first = await receiver(t, '127.0.0.1');
  const { port } = first.address();
  const second = createSocket('udp4');
  second.bind(port, '127.0.0.2');
  await once(second, 'listening');
  t.teardown(() => void second.close());
  const name = new ChangingName('127.0.0.1');
  const transport = createUdpTransport({
    host: 'collector.test',
    port,
    resolveIntervalMs: 5,
    lookUp: name.lookUp,
    onNotice: name.notice,
  });
  await transport.open();
  t.teardown(() => transport.close());
  t.equal(await transport.ready(), 1);
  await transport.send(MESSAGE, OCTETS);
  t.equal(transport.confirmed(), 1);

  name.addresses = ['127.0.0.2', '127.0.0.1'];
  await name.lookedUp(2);
  t.equal(await transport.ready(), 1, 'an address that the name still has is kept');

  name.addresses = ['127.0.0.2'];
  t.match(await name.nextNotice(), /udp:.*collector\.test.* is now 127\.0\.0\.2, was 127\.0\.0\.1/);
  const received = once(second, 'message');
  t.equal(await transport.ready(), 2);
  t.equal(transport.confirmed(), 0, 'counted anew');
  await transport.send(MESSAGE, OCTETS);
  await received;
});

t.test('a name is looked up again on request', async (t) => {
  const { port } = (await receiver(t, '127.0.0.1')).address();
  const name = new ChangingName('127.0.0.1');
  const transport = createUdpTransport({
    ...{ host: 'collector.test', port, lookUp: name.lookUp, onNotice: name.notice },
  });
  transport.refresh?.(); // nothing to follow yet
  await transport.open();
  t.teardown(() => transport.close());
  t.equal(await transport.ready(), 1);
  name.addresses = ['127.0.0.2'];
  transport.refresh?.();
  t.match(await name.nextNotice(), /is now 127\.0\.0\.2/);
  t.equal(await transport.ready(), 2);
});

t.test('a name that is gone later is noticed once, and its last address used', async (t) => {
  const collector = await receiver(t, '127.0.0.1');
  const name = new ChangingName('127.0.0.1');
  const transport = createUdpTransport({
    host: 'collector.test',
    port: collector.address().port,
    resolveIntervalMs: 5,
    lookUp: name.lookUp,
    onNotice: name.notice,
  });
  await transport.open();
  t.teardown(() => transport.close());
  name.addresses = [];
  t.equal(
    await name.nextNotice(),
    'look up the collector collector.test: ENOTFOUND (check the name, or give an address); ' +
      'messages still go to 127.0.0.1',
  );
  await name.lookedUp(3);
  t.same(name.notices, [], 'said once');
  const received = once(collector, 'message');
  t.equal(await transport.ready(), 1);
  await transport.send(MESSAGE, OCTETS);
  await received;
});

t.test('a refusal has the name looked up at once', async (t) => {
  const port = await freeUdpPort();
  const name = new ChangingName('127.0.0.1');
  const transport = createUdpTransport({
    host: 'collector.test',
    port,
    lookUp: name.lookUp,
    onNotice: name.notice,
  });
  await transport.open();
  t.teardown(() => transport.close());
  const moved = createSocket('udp4');
  moved.bind(port, '127.0.0.3');
  await once(moved, 'listening');
  t.teardown(() => void moved.close());
  name.addresses = ['127.0.0.3'];
  await transport.ready();
  await transport.send(MESSAGE, OCTETS);
  t.match(await name.nextNotice(), /is now 127\.0\.0\.3/);
  t.equal(transport.refusals(), 1);
  const received = once(moved, 'message');
  t.equal(await transport.ready(), 2);
  await transport.send(MESSAGE, OCTETS);
  await received;
});

t.test('name servers that are away, as at boot, are awaited', async (t) => {
  const collector = await receiver(t, '127.0.0.1');
  const { port } = collector.address();
  const name = new ChangingName('127.0.0.1');
  let isAway = true;
  const transport = createUdpTransport({
    host: 'collector.test',
    port,
    retryIntervalMs: 5,
    lookUp: (host, family) => {
      if (!isAway) return name.lookUp(host, family);
      return Promise.reject(Object.assign(new Error(), { code: 'EAI_AGAIN' }));
    },
    onNotice: name.notice,
  });
  await transport.open();
  t.teardown(() => transport.close());
  t.match(
    await name.nextNotice(),
    /^look up the collector collector\.test: EAI_AGAIN .*; messages wait, tried again every 0\.005 s$/,
  );
  const ready = transport.ready();
  const timeout = new Promise((resolve) => setTimeout(resolve, 30, 'it waits'));
  t.equal(await Promise.race([ready, timeout]), 'it waits');
  t.same(name.notices, [], 'said once');
  isAway = false;
  t.equal(await ready, 1);
  t.same(name.notices, [`messages go to udp://collector.test:${port} now`]);
  const received = once(collector, 'message');
  await transport.send(MESSAGE, OCTETS);
  await received;
  t.equal(transport.refusals(), 0);
});

t.test('close() ends what waits for name servers', async (t) => {
  const lookUp = () => Promise.reject(Object.assign(new Error(), { code: 'EAI_AGAIN' }));
  const transport = createUdpTransport({ host: 'collector.test', port: 9995, lookUp });
  await transport.open();
  const ready = transport.ready();
  await Promise.all([t.rejects(ready, { code: 'not-open' }), transport.close()]);
});
