// Messages into IPFIX files (RFC 5655). Each file is a session of its own: it begins with templates,
// and appears under its name when it is whole.
import { constants } from 'node:fs';
import { access, open, stat, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { ExportError, systemErrorCode } from '../export-error.js';
import type { MessageTransport } from '../delivery/message-transport.js';
import { claimFile } from './file-claim.js';
import type { FileClaim } from './file-claim.js';
import { publishLeftover } from './leftover-file.js';
import { MessageFile, partPath, pathWithTime, publish } from './message-file.js';

export interface FileTransportOptions {
  readonly path: string;
  /** Begins another file this long after the first message of the last one. */
  readonly rotateIntervalMs?: number | undefined;
  /** Begins another file when the last one has so many octets. */
  readonly rotateOctets?: number | undefined;
  /** How soon after a failure to write the next file is begun. Default a second. */
  readonly retryIntervalMs?: number | undefined;
  /** Told in words what is worth a line of the log: a full disk, what a crash left. */
  readonly onNotice?: ((text: string) => void) | undefined;
  /** The time of day, for the names of files. */
  readonly nowMs?: (() => number) | undefined;
}

const DEFAULT_RETRY_INTERVAL_MS = 1000;
/** What setTimeout can wait at most: 24 days. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;
/** There may be room again. */
const FULL = ['ENOSPC', 'EDQUOT'];

/**
 * A file that cannot be written any more ends with its last whole message. The messages from then on
 * wait for the next file, which begins when there is room again.
 */
export function createFileTransport(options: FileTransportOptions): MessageTransport {
  return new FileTransport(options);
}

class FileTransport implements MessageTransport {
  readonly destination: string;
  readonly isReliable = true;
  readonly #options: FileTransportOptions;
  readonly #part: string;
  readonly #closing = new AbortController();
  #isOpen = false;
  #claim: FileClaim | undefined;
  /** What is done with files is done one after the other. */
  #lastWork: Promise<unknown> = Promise.resolve();
  #file: MessageFile | undefined;
  #startMs = 0;
  #timer: NodeJS.Timeout | undefined;
  #isRotationDue = false;
  #retryMs = -Infinity;
  /** Of the file that is written, or of the next one. */
  #session = 1;
  /** The one that ready() gave last, and how many messages it has. */
  #reported = 0;
  #written = 0;
  #refusals = 0;
  #lastFailure = '';

  constructor(options: FileTransportOptions) {
    this.#options = options;
    this.#part = partPath(options.path);
    this.destination = `file://${options.path}`;
  }

  async open(): Promise<void> {
    if (this.#isOpen) return;
    const { path } = this.#options;
    const directory = dirname(path);
    const operation = `write files in ${directory}`;
    try {
      await access(directory, constants.W_OK | constants.X_OK);
    } catch (error) {
      const reason = `${systemErrorCode(error)} (the directory must exist and be writable)`;
      throw new ExportError('connect', operation, reason, error);
    }
    const found = await stat(path).catch(() => undefined);
    if (found?.isDirectory() === true) {
      throw new ExportError('bad-option', `write the file ${path}`, 'it is a directory');
    }
    await this.#claimPath();
    try {
      await this.#keepLeftover();
      await this.#probe();
    } catch (error) {
      await this.#claim?.release();
      if (error instanceof ExportError) throw error;
      const reason = `${systemErrorCode(error)} (it is of a run that has ended; move it away)`;
      throw new ExportError('connect', `rename ${this.#part}`, reason, error);
    }
    this.#isOpen = true;
  }

  ready(): Promise<number> {
    return this.#inTurn(async () => {
      if (this.#isRotationDue) await this.#finish();
      const waitMs = this.#retryMs - performance.now();
      const { signal } = this.#closing;
      if (waitMs > 0) await delay(waitMs, undefined, { signal }).catch(() => undefined);
      if (!this.#isOpen) throw this.#notOpen();
      if (this.#reported !== this.#session) this.#written = 0;
      this.#reported = this.#session;
      return this.#session;
    });
  }

  send(bytes: Buffer, octets: number): Promise<void> {
    return this.#inTurn(async () => {
      if (!this.#isOpen) throw this.#notOpen();
      const operation = `write a message of ${octets} octets to ${this.destination}`;
      if (this.#reported !== this.#session) {
        throw new ExportError('session-lost', operation, 'the file has ended');
      }
      try {
        this.#file ??= await this.#begin();
        await this.#file.append(bytes, octets);
      } catch (error) {
        const reason = error instanceof ExportError ? error.message : systemErrorCode(error);
        await this.#fail(reason);
        throw new ExportError('session-lost', operation, reason, error);
      }
      this.#written++;
      this.#lastFailure = '';
      const { rotateOctets = Infinity } = this.#options;
      if (this.#file.octets >= rotateOctets) this.#isRotationDue = true;
    });
  }

  confirmed(): number {
    return this.#written;
  }

  refusals(): number {
    return this.#refusals;
  }

  async close(): Promise<void> {
    this.#isOpen = false;
    this.#closing.abort();
    await this.#inTurn(() => this.#finish());
    await this.#claim?.release();
    this.#claim = undefined;
  }

  async #claimPath(): Promise<void> {
    const { path } = this.#options;
    try {
      this.#claim = await claimFile(path);
    } catch (error) {
      const reason = systemErrorCode(error);
      this.#notice(`${this.destination} is not kept from other exporters: ${reason}`);
      return;
    }
    if (this.#claim !== undefined) return;
    const reason = 'another procflow writes there (choose another path)';
    throw new ExportError('connect', `write to ${this.destination}`, reason);
  }

  /** Some places have directories and take no files, such as /proc. */
  async #probe(): Promise<void> {
    try {
      const file = await open(this.#part, 'wx');
      await file.close();
      await unlink(this.#part);
    } catch (error) {
      const code = systemErrorCode(error);
      if (FULL.includes(code)) return;
      const reason = `${code} (it must be a place where files can be created)`;
      throw new ExportError('connect', `create ${this.#part}`, reason, error);
    }
  }

  #inTurn<Result>(work: () => Promise<Result>): Promise<Result> {
    const result = this.#lastWork.then(work);
    this.#lastWork = result.catch(() => undefined);
    return result;
  }

  async #begin(): Promise<MessageFile> {
    await this.#keepLeftover(); // where a file could not get its name
    const file = await MessageFile.create(this.#part);
    this.#startMs = (this.#options.nowMs ?? Date.now)();
    const { rotateIntervalMs } = this.#options;
    if (rotateIntervalMs === undefined) return file;
    // Also when nothing more is written to it: its readers wait for it.
    const rotate = async (): Promise<void> => {
      if (this.#file === file) await this.#finish();
    };
    const waitMs = Math.min(rotateIntervalMs, LONGEST_TIMER_MS);
    this.#timer = setTimeout(() => void this.#inTurn(rotate), waitMs);
    return file;
  }

  /** Of an empty file nothing stays, and of one that failed before it had flows. */
  async #finish(hasFailed = false): Promise<void> {
    const file = this.#file;
    if (file === undefined) return;
    clearTimeout(this.#timer);
    this.#file = undefined;
    this.#isRotationDue = false;
    this.#session++;
    try {
      await file.close();
      if (file.octets === 0 || (hasFailed && !file.hasFlows)) await unlink(this.#part);
      else await this.#publish();
    } catch (error) {
      const reason = systemErrorCode(error);
      this.#notice(`${this.#part} could not be finished and renamed: ${reason}`);
    }
  }

  async #publish(): Promise<void> {
    const path = this.#finalPath();
    const name = await publish(this.#part, path);
    if (name !== path) this.#notice(`there is a file ${path} already: the new one is ${name}`);
  }

  #finalPath(): string {
    const { path, rotateIntervalMs, rotateOctets } = this.#options;
    const isRotating = rotateIntervalMs !== undefined || rotateOctets !== undefined;
    return isRotating ? pathWithTime(path, this.#startMs) : path;
  }

  async #fail(reason: string): Promise<void> {
    const { retryIntervalMs = DEFAULT_RETRY_INTERVAL_MS } = this.#options;
    this.#refusals++;
    this.#retryMs = performance.now() + retryIntervalMs;
    if (reason !== this.#lastFailure) {
      this.#notice(`${this.destination} cannot be written: ${reason}; messages wait`);
    }
    this.#lastFailure = reason;
    if (this.#file === undefined) this.#session++;
    else await this.#finish(true);
  }

  async #keepLeftover(): Promise<void> {
    const name = await publishLeftover(this.#part, this.#options.path);
    if (name !== undefined)
      this.#notice(`${this.#part} was left by a run that broke off: now ${name}`);
  }

  #notice(text: string): void {
    this.#options.onNotice?.(text);
  }

  #notOpen(): ExportError {
    return new ExportError('not-open', `write to ${this.destination}`, 'it is not open');
  }
}
