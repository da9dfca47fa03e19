// A Node program with three worker threads: each opens a TCP connection to the address and the
// port that it is given, sends 5000 octets, reads what comes back, and reports its port.
import { connect } from 'node:net';
import { fileURLToPath } from 'node:url';
import { isMainThread, Worker } from 'node:worker_threads';

const [host = '', port = ''] = process.argv.slice(2);

function talk(): void {
  const socket = connect({ host, port: Number(port) }, () => {
    process.stdout.write(`${JSON.stringify({ event: 'done', port: socket.localPort })}\n`);
    socket.end('x'.repeat(5000));
  });
  socket.resume();
}

if (isMainThread) {
  for (let i = 0; i < 3; i++) new Worker(fileURLToPath(import.meta.url), { argv: [host, port] });
} else {
  talk();
}
