// TLS with certificates of the test's own: who is believed, who is refused, and what is said of it.
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import { setTimeout as delay } from 'node:timers/promises';
import { once } from 'node:events';
import { join } from 'node:path';
import t from 'tap';
import { Authority } from '../../support/certificates.js';
import { ChangingName } from '../../support/changing-name.js';
import type { Teardown } from '../../support/program.js';
import { TcpCollector, deliver, eventually } from '../../support/tcp-collector.js';
import { tcpTransport } from '../../support/tcp-transport.js';
import type { TcpOptions } from '../../support/tcp-transport.js';

const HOST = '127.0.0.1';
const authority = new Authority(t);
const { caFile } = authority;
const serverFiles = authority.sign('collector', 'DNS:localhost,DNS:collector.test,IP:127.0.0.1');
const client = authority.sign('exporter', 'DNS:exporter.test');
const server = {
  cert: readFileSync(serverFiles.certFile),
  key: readFileSync(serverFiles.keyFile),
};
const demanding = { ...server, ca: readFileSync(caFile), requestCert: true };

type TlsCase = NonNullable<TcpOptions['tls']>;

async function openTransport(
  t: Teardown,
  tls: TlsCase,
  options: Partial<TcpOptions> & { readonly port: number },
) {
  const name = new ChangingName();
  const transport = tcpTransport({
    host: HOST,
    tls,
    reconnectIntervalMs: 20,
    onNotice: name.notice,
    ...options,
  });
  await transport.open();
  t.teardown(() => transport.close());
  return { transport, name };
}

const ACCEPTED = [
  { name: 'an address in the certificate', server, tls: { caFile } },
  { name: 'a name in the certificate', server, host: 'localhost', tls: { caFile } },
  { name: 'another name that was given', server, tls: { caFile, serverName: 'collector.test' } },
  { name: 'anybody, when told so', server, tls: { isVerified: false } },
  { name: 'a client certificate', server: demanding, tls: { caFile, ...client } },
  {
    name: 'a client certificate in TLS 1.2',
    server: { ...demanding, maxVersion: 'TLSv1.2' as const },
    tls: { caFile, ...client },
  },
];

for (const { name, server, host = HOST, tls } of ACCEPTED) {
  t.test(`messages reach a collector by TLS: ${name}`, async (t) => {
    const collector = await TcpCollector.listen(t, { tls: server });
    const { port } = collector;
    const { transport } = await openTransport(t, tls, { host, port });
    t.equal(transport.destination, `tls://${host}:${port}`);
    await deliver(transport, 100, 1372);
    await collector.until(({ numbers }) => numbers.length === 100);
    t.equal(transport.confirmed(), 100);
    t.equal(transport.refusals(), 0);
  });
}

const REFUSED = [
  {
    name: 'an authority that is not known',
    server,
    tls: {},
    reason: /: UNABLE_TO_VERIFY_LEAF_SIGNATURE \(unable to verify the first certificate\); tried/,
  },
  {
    name: 'another name',
    server,
    tls: { caFile, serverName: 'other.test' },
    reason: /ERR_TLS_CERT_ALTNAME_INVALID \(.*Host: other\.test\. is not in the cert's altnames/,
  },
  {
    name: 'no client certificate',
    server: demanding,
    tls: { caFile },
    reason: /ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED \(tlsv13 alert certificate required\)/,
  },
  {
    name: 'no client certificate in TLS 1.2',
    server: { ...demanding, maxVersion: 'TLSv1.2' as const },
    tls: { caFile },
    reason: /: (ERR_SSL\S+ALERT_HANDSHAKE_FAILURE|ECONNRESET|Client network socket)/,
  },
  {
    name: 'TLS 1.1',
    server: {
      ...server,
      minVersion: 'TLSv1.1' as const,
      maxVersion: 'TLSv1.1' as const,
      ciphers: 'DEFAULT@SECLEVEL=0',
    },
    tls: { caFile },
    reason: /PROTOCOL_VERSION/,
  },
];

for (const { name, server, tls, reason } of REFUSED) {
  t.test(`no session begins, and the reason is told: ${name}`, async (t) => {
    const collector = await TcpCollector.listen(t, { tls: server });
    const { transport, name } = await openTransport(t, tls, { port: collector.port });
    t.match(await name.nextNotice(), reason);
    await eventually(() => transport.refusals() >= 2);
    t.same(name.notices, []);
    await t.rejects(transport.send(Buffer.alloc(16), 16), { code: 'session-lost' });
  });
}

t.test('a collector that does not speak TLS is given up in time', async (t) => {
  const silent = createServer((socket) => socket.on('error', () => undefined)).listen(0, HOST);
  await once(silent, 'listening');
  t.teardown(() => void silent.close());
  const { port } = silent.address() as AddressInfo;
  const { name } = await openTransport(t, { caFile }, { port, connectTimeoutMs: 50 });
  const reason = 'no answer within 50 ms; tried again every 0.02 s';
  t.equal(await name.nextNotice(), `connect to tls://${HOST}:${port}: ${reason}`);
});

t.test('what arrived is known to the message also when it is encrypted', async (t) => {
  const collector = await TcpCollector.listen(t, { tls: server, isPaused: true });
  const { port } = collector;
  const { transport, name } = await openTransport(t, { caFile }, { port, stallTimeoutMs: 300 });
  const delivered = deliver(transport, 400, 60_000);
  t.match(await name.nextNotice(), /is lost: nothing was acknowledged for 300 ms/);
  const confirmed = transport.confirmed();
  t.ok(confirmed > 0);
  await collector.until(({ connections }) => connections.length === 2);
  collector.resume(1);
  await delivered;
  collector.resume(0);
  await collector.until(({ numbers }) => numbers.length >= 400);
  t.equal(collector.connections[0]?.numbers.length, confirmed);
  t.equal(new Set(collector.numbers).size, 400);
});

t.test('close() ends the encrypted connection in order', async (t) => {
  const collector = await TcpCollector.listen(t, { tls: server });
  const { transport } = await openTransport(t, { caFile }, { port: collector.port });
  await deliver(transport, 10, 1372);
  let hasEnded = false;
  collector.connections[0]?.socket.on('end', () => (hasEnded = true));
  await transport.close();
  await eventually(() => hasEnded);
  t.equal(collector.numbers.length, 10);
});

t.test('close() waits for the answer of the collector, and reads it', async (t) => {
  const ended: string[] = [];
  const collector = createTlsServer({ ...server, allowHalfOpen: true });
  t.teardown(() => void collector.close());
  const connected = new Promise<Socket>((resolve) => {
    collector.once('secureConnection', resolve);
  });
  collector.listen(0, HOST);
  await once(collector, 'listening');
  const { port } = collector.address() as AddressInfo;
  const { transport } = await openTransport(t, { caFile }, { port });
  await transport.ready();
  const socket = await connected;
  socket.on('error', (error) => ended.push(error.message));
  socket.resume();
  const isRead = once(socket, 'end');
  const closed = transport.close().then(() => ended.push('closed'));
  await isRead;
  await delay(100);
  ended.push('answer');
  socket.end();
  await closed;
  t.same(ended, ['answer', 'closed']);
});

t.test('files that cannot be used are errors at open()', async (t) => {
  const noise = join(authority.directory, 'noise.pem');
  writeFileSync(noise, 'not a certificate\n');
  const { certFile, keyFile } = client;
  const missing = '/no-such/file.pem';
  const cases = [
    { tls: { caFile: missing }, message: `read the CA certificates in ${missing}: ENOENT` },
    { tls: { caFile: noise }, message: /noise\.pem: no certificate in PEM form in it/ },
    { tls: { certFile: noise, keyFile }, message: /^read the certificate in .*no certificate in/ },
    { tls: { certFile, keyFile: missing }, message: `read the private key in ${missing}: ENOENT` },
    { tls: { certFile }, message: /^set the TLS certificate: a certificate needs its key/ },
    { tls: { certFile, keyFile: noise }, message: /^use the certificate .*exporter\.pem with/ },
    { tls: { certFile, keyFile: serverFiles.keyFile }, message: /key values mismatch$/ },
  ];
  for (const { tls, message } of cases) {
    const transport = tcpTransport({ host: HOST, port: 4740, tls });
    await t.rejects(transport.open(), { name: 'ExportError', code: 'bad-option', message });
  }
});
