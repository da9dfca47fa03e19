// What a run that broke off has left of an IPFIX file: its whole messages get a name. A file that is
// not IPFIX is somebody else's, and left alone.
import { constants } from 'node:fs';
import { lstat, open, unlink } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { ExportError, systemErrorCode } from '../export-error.js';
import { pathWithTime, publish } from './message-file.js';

const MESSAGE_HEADER_OCTETS = 16;
const IPFIX_VERSION = 10;

/**
 * Gives the file its name, with the time of its beginning: whole messages only. Returns the name;
 * undefined when there was nothing to keep. Rejects with a system error, or with an ExportError when
 * what is there is not such a file.
 */
export async function publishLeftover(part: string, path: string): Promise<string | undefined> {
  const found = await lstat(part).catch((error: unknown) => {
    if (systemErrorCode(error) === 'ENOENT') return undefined;
    throw error;
  });
  if (found === undefined) return undefined;
  if (!found.isFile()) throw notOurs(part, 'it is not a regular file');
  const { O_RDWR, O_NOFOLLOW, O_NONBLOCK } = constants;
  const file = await open(part, O_RDWR | O_NOFOLLOW | O_NONBLOCK);
  try {
    const { size, nlink, ino } = await file.stat();
    if (ino !== found.ino) throw notOurs(part, 'it is being changed');
    if (!(await beginsAsIpfix(file))) throw notOurs(part, 'it is not an IPFIX file');
    // More than one link: it had its name already.
    const octets = nlink === 1 ? await wholeMessages(file, size) : 0;
    if (octets === 0) {
      await unlink(part);
      return undefined;
    }
    if (octets < size) await file.truncate(octets);
    await file.sync();
  } finally {
    await file.close();
  }
  return publish(part, pathWithTime(path, found.birthtimeMs || found.mtimeMs));
}

function notOurs(part: string, reason: string): ExportError {
  const advice = 'move it away: files are written there';
  return new ExportError('connect', `take over ${part}`, `${reason} (${advice})`);
}

/** As far as it goes: an empty file may be ours, and one that ends within a header. */
async function beginsAsIpfix(file: FileHandle): Promise<boolean> {
  const header = Buffer.of(0, IPFIX_VERSION, 0xff, 0xff);
  await file.read(header, 0, header.length, 0);
  const [version, octets] = [header.readUInt16BE(0), header.readUInt16BE(2)];
  return version === IPFIX_VERSION && octets >= MESSAGE_HEADER_OCTETS;
}

async function wholeMessages(file: FileHandle, size: number): Promise<number> {
  const header = Buffer.alloc(MESSAGE_HEADER_OCTETS);
  let octets = 0;
  while (octets + MESSAGE_HEADER_OCTETS <= size) {
    await file.read(header, 0, MESSAGE_HEADER_OCTETS, octets);
    const length = header.readUInt16BE(2);
    if (header.readUInt16BE(0) !== IPFIX_VERSION || length < MESSAGE_HEADER_OCTETS) break;
    if (octets + length > size) break;
    octets += length;
  }
  return octets;
}
