// One IPFIX file (RFC 5655): messages one after the other, under another name until it is whole.
import { constants } from 'node:fs';
import { link, open, rename, stat, unlink } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { dirname, join, parse } from 'node:path';
import { systemErrorCode } from '../export-error.js';
import { ControlMessages } from './control-messages.js';

/** Command lines are not for everybody to read. */
const MODE = 0o640;
/** Of file systems without hard links. */
const NO_LINKS = ['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'EMLINK', 'ENOSYS'];

/** Where a file is while it is written: readers that look for "*.ipfix" do not see it. */
export function partPath(path: string): string {
  return `${path}.part`;
}

/** "flows.ipfix" to "flows-20261121T153000Z.ipfix" */
export function pathWithTime(path: string, timeMs: number): string {
  const time = new Date(timeMs).toISOString().replace(/[-:]|\.\d+/g, '');
  return insertBeforeExtension(path, `-${time}`);
}

export class MessageFile {
  readonly #handle: FileHandle;
  readonly #control = new ControlMessages();
  #octets = 0;
  #hasFlows = false;

  private constructor(handle: FileHandle) {
    this.#handle = handle;
  }

  /** Rejects with a system error: EEXIST when another is there. */
  static async create(path: string): Promise<MessageFile> {
    const { O_CREAT, O_EXCL, O_WRONLY } = constants;
    return new MessageFile(await open(path, O_CREAT | O_EXCL | O_WRONLY, MODE));
  }

  get octets(): number {
    return this.#octets;
  }

  /** Not only templates and options. */
  get hasFlows(): boolean {
    return this.#hasFlows;
  }

  /** Rejects with a system error; the file then still ends with a whole message. */
  async append(bytes: Buffer, octets: number): Promise<void> {
    for (let done = 0; done < octets;) {
      const at = this.#octets + done;
      const { bytesWritten } = await this.#handle.write(bytes, done, octets - done, at);
      done += bytesWritten;
    }
    this.#octets += octets;
    this.#hasFlows ||= !this.#control.isControl(bytes, octets);
  }

  /** On the disk when it resolves; closed also when it rejects. */
  async close(): Promise<void> {
    try {
      await this.#handle.truncate(this.#octets); // part of a message for which there was no room
      await this.#handle.sync();
    } finally {
      await this.#handle.close();
    }
  }
}

/**
 * Gives a whole file its name, or that name with -1, -2 and so on where there are such files.
 * Returns the name; rejects with a system error.
 */
export async function publish(part: string, path: string): Promise<string> {
  for (let n = 0; ; n++) {
    const name = n === 0 ? path : insertBeforeExtension(path, `-${n}`);
    if (!(await moveTo(part, name))) continue;
    const directory = await open(dirname(path), constants.O_RDONLY);
    try {
      await directory.sync();
    } finally {
      await directory.close();
    }
    return name;
  }
}

/** False when there is such a file: rename() would replace it. */
async function moveTo(part: string, name: string): Promise<boolean> {
  try {
    await link(part, name);
  } catch (error) {
    const code = systemErrorCode(error);
    if (code === 'EEXIST') return false;
    if (!NO_LINKS.includes(code)) throw error;
    const isThere = await stat(name).then(Boolean, () => false);
    if (isThere) return false;
    await rename(part, name);
    return true;
  }
  await unlink(part);
  return true;
}

function insertBeforeExtension(path: string, text: string): string {
  const { dir, name, ext } = parse(path);
  return join(dir, `${name}${text}${ext}`);
}
