// A Node cluster of two workers on one port of the address that it is given: the primary accepts,
// and hands each connection to a worker, which echoes it and reports whom it serves.
import cluster from 'node:cluster';
import { createServer } from 'node:net';

function report(event: string, members: Readonly<Record<string, unknown>>): void {
  process.stdout.write(`${JSON.stringify({ event, pid: process.pid, ...members })}\n`);
}

function becomePrimary(): void {
  let listening = 0;
  cluster.on('listening', (_worker, { port }) => {
    if (++listening === 2) report('ready', { port });
  });
  for (let i = 0; i < 2; i++) cluster.fork();
}

function becomeWorker(): void {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    report('serving', { peer_port: socket.remotePort });
    socket.pipe(socket);
  });
  server.listen(0, process.argv[2]);
}

if (cluster.isPrimary) becomePrimary();
else becomeWorker();
