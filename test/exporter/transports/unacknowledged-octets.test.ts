// Addresses as /proc/net/tcp and tcp6 write them.
import { endianness } from 'node:os';
import t from 'tap';
import {
  procAddress,
  sendQueueOf,
} from '../../../src/exporter/transports/unacknowledged-octets.js';

const CASES = [
  { address: '127.0.0.1', port: 4739, expected: '0100007F:1283' },
  { address: '192.0.2.77', port: 80, expected: '4D0200C0:0050' },
  { address: '::1', port: 65535, expected: '00000000000000000000000001000000:FFFF' },
  { address: '::', port: 1, expected: '00000000000000000000000000000000:0001' },
  { address: '2001:db8::a:b', port: 1, expected: 'B80D01200000000000000000' + '0B000A00:0001' },
  { address: 'fe80::1%eth0', port: 1, expected: '000080FE0000000000000000' + '01000000:0001' },
  { address: '::ffff:192.0.2.1', port: 1, expected: '0000000000000000FFFF0000' + '010200C0:0001' },
  { address: '1:2:3:4:5:6:7:8', port: 1, expected: '02000100040003000600050008000700:0001' },
];

const skip = endianness() === 'LE' ? false : 'expected here for little-endian hosts';
t.test('addresses are words in the byte order of the host', { skip }, async (t) => {
  for (const { address, port, expected } of CASES) {
    t.equal(procAddress(address, port), expected, address);
  }
});

t.test('a connection that does not exist has no queue', async (t) => {
  for (const address of ['127.0.0.1', '::1']) {
    const ends = { localAddress: address, remoteAddress: address, localPort: 1, remotePort: 1 };
    const queue = sendQueueOf(ends);
    t.equal(queue.octetsNow(), undefined);
    t.equal(await queue.octets(), undefined);
  }
});
