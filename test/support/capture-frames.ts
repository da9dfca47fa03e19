// Frames of capture files, and what tcpdump says of them: which match a filter expression.
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export const CAPTURES = 'test/captures/ipfixprobe';

/** LINKTYPE_ numbers */
export const ETHERNET = 1;
export const RAW_IP = 101;
export const LINUX_COOKED = 113;

export interface Frame {
  readonly bytes: Buffer;
  /** On the wire, of which the capture may have the beginning. */
  readonly wireOctets: number;
}

const FILE_HEADER_OCTETS = 24;
const FRAME_HEADER_OCTETS = 16;
const MAX_OUTPUT = 1 << 28;

/** Reads a file from standard input, which a tcpdump that changes its user may do too. */
function tcpdump(
  path: string,
  ...args: readonly string[]
): { out: Buffer; err: string; code: number | null } {
  const fd = openSync(path, 'r');
  try {
    const { stdout, stderr, status } = spawnSync('tcpdump', ['-r', '-', ...args], {
      stdio: [fd, 'pipe', 'pipe'],
      maxBuffer: MAX_OUTPUT,
    });
    return { out: stdout, err: stderr.toString(), code: status };
  } finally {
    closeSync(fd);
  }
}

/** Of a pcap file of this machine's byte order. */
function* framesOf(file: Buffer): Generator<Frame & { readonly seconds: number }> {
  for (let at = FILE_HEADER_OCTETS; at < file.length;) {
    const captured = file.readUInt32LE(at + 8);
    const start = at + FRAME_HEADER_OCTETS;
    yield {
      bytes: file.subarray(start, start + captured),
      wireOctets: file.readUInt32LE(at + 12),
      seconds: file.readUInt32LE(at),
    };
    at = start + captured;
  }
}

/** Of all captures, by LINKTYPE_ number. */
export function readCaptures(directory = CAPTURES): ReadonlyMap<number, readonly Frame[]> {
  const found = new Map<number, Frame[]>();
  for (const name of readdirSync(directory)) {
    if (!name.endsWith('.pcap')) continue;
    // tcpdump makes pcap of pcapng.
    const { out, err, code } = tcpdump(join(directory, name), '-w', '-');
    if (code !== 0) throw new Error(`tcpdump -r ${name}: ${err}`);
    const linkType = out.readUInt32LE(20);
    const frames = found.get(linkType) ?? [];
    frames.push(...framesOf(out));
    found.set(linkType, frames);
  }
  return found;
}

/** Frame n is of second n, by which it is found again. */
export function writeCapture(path: string, linkType: number, frames: readonly Frame[]): void {
  const header = Buffer.alloc(FILE_HEADER_OCTETS);
  header.writeUInt32LE(0xa1b2c3d4, 0);
  header.writeUInt32LE(0x00040002, 4);
  header.writeUInt32LE(262_144, 16);
  header.writeUInt32LE(linkType, 20);
  const pieces = frames.flatMap(({ bytes, wireOctets }, i) => {
    const head = Buffer.alloc(FRAME_HEADER_OCTETS);
    head.writeUInt32LE(i, 0);
    head.writeUInt32LE(bytes.length, 8);
    head.writeUInt32LE(wireOctets, 12);
    return [head, bytes];
  });
  writeFileSync(path, Buffer.concat([header, ...pieces]));
}

export type Matches = ReadonlySet<number> | string;

/**
 * @param path of a file that writeCapture made
 * @returns which frames match, or what is wrong with the expression
 */
export async function tcpdumpMatches(path: string, expression: string): Promise<Matches> {
  const fd = openSync(path, 'r');
  const child = spawn('tcpdump', ['-r', '-', '-w', '-', '--', expression], {
    stdio: [fd, 'pipe', 'pipe'],
  });
  closeSync(fd);
  const out: Buffer[] = [];
  let err = '';
  child.stdout?.on('data', (piece: Buffer) => out.push(piece));
  child.stderr?.setEncoding('utf8').on('data', (piece: string) => (err += piece));
  const [code] = (await once(child, 'close')) as [number | null];
  if (code !== 0) return err.trim().split('\n').at(-1) ?? '';
  return new Set([...framesOf(Buffer.concat(out))].map(({ seconds }) => seconds));
}

const ASKED_AHEAD = 3;

/** What tcpdump says of each in turn; it is asked for the next ones while this process has others to do. */
export async function* eachWithMatches<Asked>(
  all: readonly Asked[],
  ask: (each: Asked) => Promise<readonly Matches[]>,
): AsyncGenerator<readonly [Asked, readonly Matches[]]> {
  const asked: Promise<readonly Matches[]>[] = [];
  for (const [i, each] of all.entries()) {
    while (asked.length < Math.min(all.length, i + 1 + ASKED_AHEAD)) {
      const next = all[asked.length];
      if (next !== undefined) asked.push(ask(next));
    }
    yield [each, (await asked[i]) ?? []];
  }
}
