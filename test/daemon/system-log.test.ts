import { join } from 'node:path';
import { rmSync } from 'node:fs';
import t from 'tap';
import { loadExportSockets } from '../../src/bpf-loader/export-sockets.js';
import { openSystemLog } from '../../src/daemon/system-log.js';
import { temporaryDirectory } from '../support/control.js';
import { startProgram, type Program, type Teardown } from '../support/program.js';

const { openUnixDatagram } = loadExportSockets();

/** Node has no such sockets. Prints each datagram as it comes. */
const RECEIVER = `
import socket, sys
receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
receiver.bind(sys.argv[1])
print('bound', flush=True)
while True: print(receiver.recv(65536).decode(), flush=True)`;

async function startLog(t: Teardown, path: string): Promise<Program> {
  const log = startProgram(t, 'python3', ['-c', RECEIVER, path]);
  await log.line('out', /^bound/);
  return log;
}

t.test('lines come to the log with their time and the process', async (t) => {
  const path = join(temporaryDirectory(t), 'log');
  const receiver = await startLog(t, path);
  const log = openSystemLog({ openUnixDatagram, path, now: () => new Date(2026, 10, 2, 3, 4, 5) });
  log('procflow: metering lo');
  log('the last one');
  await receiver.line('out', /last one/);
  t.same(receiver.out.slice(1), [
    `<29>Nov  2 03:04:05 procflow[${process.pid}]: metering lo`,
    `<29>Nov  2 03:04:05 procflow[${process.pid}]: the last one`,
  ]);
});

t.test('a log that is away loses lines, which it is told when it is back', async (t) => {
  const path = join(temporaryDirectory(t), 'log');
  const log = openSystemLog({ openUnixDatagram, path });
  log('before there is a log');
  const first = await startLog(t, path);
  log('one');
  await first.line('out', /: one$/);
  t.match(first.out[1], /: 1 lines did not get into this log$/);
  await first.stop('SIGKILL');
  log('into nothing');
  log('into nothing again');
  rmSync(path);
  const second = await startLog(t, path);
  log('two');
  await second.line('out', /: two$/);
  t.match(second.out[1], /: 2 lines did not get into this log$/);
});
