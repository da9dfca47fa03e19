// Receivers of a whole stream of messages, one for each transport; each ends when the exporter has.
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { createServer, isIPv6, type AddressInfo, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createServer as createTlsServer } from 'node:tls';
import { Authority } from './certificates.js';
import { splitMessages } from './decoder/message-splitter.js';
import { startProgram, type Teardown } from './program.js';

export interface StreamReceiver {
  /** As procflow's -n has it; parameters of the transport may stand in it. */
  readonly address: string;
  /** All that came; to be asked when the exporter has ended. */
  readonly messages: () => Promise<readonly Buffer[]>;
}

const MARKER = Buffer.from('the test: end of stream');
const BUFFER_OCTETS = 4 * 2 ** 20;

/** On an address of loopback. */
export async function receiveUdp(t: Teardown, host: '127.0.0.1' | '::1'): Promise<StreamReceiver> {
  const socket = createSocket(isIPv6(host) ? 'udp6' : 'udp4');
  socket.bind(0, host);
  await once(socket, 'listening');
  socket.setRecvBufferSize(BUFFER_OCTETS);
  t.teardown(() => void socket.close());
  const messages: Buffer[] = [];
  const ended = new Promise<void>((resolve) => {
    socket.on('message', (bytes) => {
      if (bytes.equals(MARKER)) resolve();
      else messages.push(bytes);
    });
  });
  const { port } = socket.address();
  return {
    address: isIPv6(host) ? `[${host}]:${port}` : `${host}:${port}`,
    messages: async () => {
      // What the exporter sent is in the queue before it.
      socket.send(MARKER, port, host);
      await ended;
      return messages;
    },
  };
}

export async function receiveTcp(t: Teardown): Promise<StreamReceiver> {
  const server = createServer();
  return await receiveStream(t, server, 'connection', 'tcp', '');
}

/** With a certificate that the exporter verifies. */
export async function receiveTls(t: Teardown): Promise<StreamReceiver> {
  const authority = new Authority(t);
  const { certFile, keyFile } = authority.sign('collector', 'IP:127.0.0.1');
  const server = createTlsServer({ cert: readFileSync(certFile), key: readFileSync(keyFile) });
  return await receiveStream(t, server, 'secureConnection', 'tls', `?ca=${authority.caFile}`);
}

async function receiveStream(
  t: Teardown,
  server: Server,
  event: string,
  scheme: string,
  parameters: string,
): Promise<StreamReceiver> {
  const collected = new Promise<Buffer[]>((resolve, reject) => {
    server.once(event, (socket: Socket) => {
      t.teardown(() => void socket.destroy());
      collect(socket).then(resolve, reject);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => void server.close());
  const { port } = server.address() as AddressInfo;
  return { address: `${scheme}://127.0.0.1:${port}${parameters}`, messages: () => collected };
}

async function collect(socket: Socket): Promise<Buffer[]> {
  const messages: Buffer[] = [];
  for await (const message of splitMessages(socket)) messages.push(message);
  return messages;
}

/** Prints each datagram; told to end, it does so when none is left. */
const UNIX_RECEIVER = `
import select, socket, sys
receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
receiver.bind(sys.argv[1])
print('bound', flush=True)
while True:
    ready = select.select([receiver, sys.stdin], [], [])[0]
    if receiver not in ready: break
    print('message', receiver.recv(65536).hex(), flush=True)`;

/** A Unix datagram socket, in Python: Node has none. */
export async function receiveUnix(t: Teardown): Promise<StreamReceiver> {
  const path = join(temporaryDirectory(t), 'collector');
  const program = startProgram(t, 'python3', ['-c', UNIX_RECEIVER, path]);
  await program.line('out', /^bound/);
  return {
    address: `unix://${path}`,
    messages: async () => {
      program.write('end\n');
      await program.success();
      const lines = program.out.filter((line) => line.startsWith('message '));
      return lines.map((line) => Buffer.from(line.slice('message '.length), 'hex'));
    },
  };
}

export interface FileReceiver extends StreamReceiver {
  /** Of the one file; when the exporter has ended. */
  readonly file: () => string;
}

export function receiveFile(t: Teardown): FileReceiver {
  const directory = temporaryDirectory(t);
  const file = (): string => {
    const [name, ...others] = readdirSync(directory);
    if (name === undefined || others.length > 0) throw new Error(`${others.length + 1} files`);
    return join(directory, name);
  };
  return {
    address: `file://${join(directory, 'flows.ipfix')}`,
    file,
    messages: async () => {
      const messages: Buffer[] = [];
      for await (const message of splitMessages([readFileSync(file())])) messages.push(message);
      return messages;
    },
  };
}

function temporaryDirectory(t: Teardown): string {
  const directory = mkdtempSync(join(tmpdir(), 'procflow-stream-'));
  t.teardown(() => {
    rmSync(directory, { recursive: true });
  });
  return directory;
}
