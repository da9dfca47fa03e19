// How many packets of a capture file are metered and exported a second: the whole of
// `procflow export -r`, from the file to an IPFIX file.
// Usage: node build/bench/capture-rate/capture-rate.js [PACKETS]
import { spawnSync } from 'node:child_process';
import {
  closeSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CaptureParser } from '../../src/capture-file/capture-parser.js';
import { PROJECT_ROOT } from '../../test/support/requirements.js';

const CAPTURES = join(PROJECT_ROOT, 'test/captures/ipfixprobe');
const DEFAULT_PACKETS = 1_200_000;
const RUNS = 3;
/** Between two packets. */
const STEP_US = 20;
const ETHERNET = 1;
const IPV4_SOURCE_OFFSET = 26;

/** The IPv4 packets of all captures that are Ethernet. */
function readPackets(): Buffer[] {
  const packets: Buffer[] = [];
  for (const name of readdirSync(CAPTURES).filter((name) => name.endsWith('.pcap'))) {
    const parser = new CaptureParser();
    parser.push(readFileSync(join(CAPTURES, name)));
    for (let frame = parser.next(); frame !== undefined; frame = parser.next()) {
      const bytes = Buffer.from(frame.bytes.subarray(frame.start, frame.end));
      if (frame.linkType === ETHERNET && bytes.readUInt16BE(12) === 0x0800) packets.push(bytes);
    }
  }
  return packets;
}

/** Again and again the same packets, each time between other hosts. */
function writeCapture(path: string, count: number): void {
  const packets = readPackets();
  const file = openSync(path, 'w');
  const header = Buffer.alloc(24);
  header.writeUInt32LE(0xa1b2c3d4, 0);
  header.writeUInt32LE(0x00040002, 4);
  header.writeUInt32LE(262_144, 16);
  header.writeUInt32LE(ETHERNET, 20);
  writeSync(file, header);
  const records = packets.map((packet) => Buffer.concat([Buffer.alloc(16), packet]));
  for (const record of records) {
    record.writeUInt32LE(record.length - 16, 8);
    record.writeUInt32LE(record.length - 16, 12);
  }
  for (let done = 0; done < count;) {
    for (const record of records) {
      const us = done * STEP_US;
      record.writeUInt32LE(1_700_000_000 + Math.floor(us / 1e6), 0);
      record.writeUInt32LE(us % 1e6, 4);
      const at = 16 + IPV4_SOURCE_OFFSET;
      record.writeUInt16BE(Math.floor(done / records.length) % 65536, at);
      done++;
    }
    writeSync(file, Buffer.concat(records));
  }
  closeSync(file);
}

const folder = mkdtempSync(join(tmpdir(), 'procflow-capture-rate-'));
try {
  const path = join(folder, 'capture.pcap');
  writeCapture(path, Number(process.argv[2] ?? DEFAULT_PACKETS));
  for (let run = 0; run < RUNS; run++) {
    const to = `file://${folder}/${run}.ipfix`;
    const args = ['export', '-r', path, '-n', to, '--max-flows', '200000'];
    const { stderr } = spawnSync(join(PROJECT_ROOT, 'bin/procflow'), args, { encoding: 'utf8' });
    const lines = stderr.split('\n').filter((line) => /flow records|frames|sent|LOSS/.test(line));
    process.stdout.write(`${lines.join('\n')}\n`);
  }
} finally {
  rmSync(folder, { recursive: true });
}
