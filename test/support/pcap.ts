// Datagrams as a capture file, and what tshark has to complain of in it.
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';

const PORT = 9995;
const LINK_TYPE_RAW_IP = 101;

/** Each message as one UDP datagram over IPv4, sent from and to loopback. */
export function writePcap(path: string, messages: readonly Buffer[]): void {
  const file = Buffer.alloc(24);
  file.writeUInt32LE(0xa1b2c3d4, 0);
  file.writeUInt16LE(2, 4);
  file.writeUInt16LE(4, 6);
  file.writeUInt32LE(65535, 16);
  file.writeUInt32LE(LINK_TYPE_RAW_IP, 20);
  writeFileSync(path, Buffer.concat([file, ...messages.flatMap(packet)]));
}

function packet(message: Buffer): Buffer[] {
  const headers = Buffer.from('4500000000000000401100007f0000017f0000010000000000000000', 'hex');
  const octets = headers.length + message.length;
  headers.writeUInt16BE(octets, 2);
  headers.writeUInt16BE(PORT, 20);
  headers.writeUInt16BE(PORT, 22);
  headers.writeUInt16BE(8 + message.length, 24);
  const head = Buffer.alloc(16);
  head.writeUInt32LE(octets, 8);
  head.writeUInt32LE(octets, 12);
  return [head, headers, message];
}

/** What tshark prints of a capture that writePcap made. */
export function tshark(path: string, args: readonly string[]): string {
  const decode = ['-n', '-r', path, '-d', `udp.port==${PORT},cflow`];
  return execFileSync('tshark', [...decode, ...args], {
    encoding: 'utf8',
    maxBuffer: 2 ** 28,
    stdio: ['ignore', 'pipe', 'ignore'],
  });
}

const COMPLAINTS = '_ws.malformed || cflow.no_template_found || cflow.unexpected_sequence_number';

/** The frames that are malformed, without their template, or out of sequence: should be none. */
export function tsharkComplaints(path: string): string {
  return tshark(path, ['-Y', COMPLAINTS]);
}
