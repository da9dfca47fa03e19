// The control socket: a Unix stream socket on which a client asks by one line of text and reads the
// answer up to its end, as softflowctl does. Only root and the user that runs procflow may ask.
import {
  chownSync,
  closeSync,
  constants,
  existsSync,
  fstatSync,
  linkSync,
  lstatSync,
  openSync,
  rmSync,
  type Stats,
} from 'node:fs';
import { createConnection, createServer, type Server, type Socket } from 'node:net';
import { once } from 'node:events';
import { dirname, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { peerUserId } from '../../bpf-loader/peer-user.js';
import { ConfigError } from '../config-error.js';
import type { ProcessUser } from '../user-config.js';
import { readRequest, sendAnswer } from './control-exchange.js';

export interface ControlSocketOptions {
  readonly path: string;
  /** Who may ask besides root, and has the file; default: the user of this process. */
  readonly owner?: ProcessUser | undefined;
  /** The answer, piece by piece; it may throw. */
  readonly answer: (request: string) => AsyncIterable<string>;
  /** What a client is told of an error. */
  readonly errorText: (reason: string) => string;
  /** Told what an operator should know; one line each. */
  readonly onNotice: (line: string) => void;
  /** How long a client may take to ask, or to read on; default 10 seconds. */
  readonly patienceMs?: number;
}

export interface ControlSocket {
  readonly path: string;
  /** Answers that are not sent by now are given a moment; the file is removed if it is still ours. */
  readonly close: () => Promise<void>;
}

const DEFAULT_PATIENCE_MS = 10_000;
const MAX_CLIENTS = 16;
/** struct sockaddr_un has 108 octets, with the NUL; one more is for the name it has at first. */
const MAX_PATH_OCTETS = 106;
const CLOSE_MS = 500;
/** Of open(2): the file itself and not what it leads to. Node has no name for it. */
const O_PATH = 0o10000000;
const REFUSAL_NOTICE_MS = 60_000;
const REFUSED_PATIENCE_MS = 1000;

/**
 * Listens at once; a socket that a dead process left is replaced.
 * @throws ConfigError when the path cannot be had
 */
export async function openControlSocket(options: ControlSocketOptions): Promise<ControlSocket> {
  const path = resolve(options.path);
  const setting = `-c ${options.path}`;
  if (Buffer.byteLength(path) > MAX_PATH_OCTETS) {
    const reason = `is too long for a socket: at most ${MAX_PATH_OCTETS} octets`;
    throw new ConfigError(setting, reason, 'choose a shorter path');
  }
  await removeStale(setting, path);
  const clients = new ClientService(options);
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    clients.serve(socket);
  });
  server.maxConnections = MAX_CLIENTS;
  const inode = await listen(server, setting, path, options.owner);
  server.on('error', (error) => {
    options.onNotice(`control socket ${path}: ${error.message}`);
  });
  return {
    path,
    close: async () => {
      server.close();
      removeOwn(path, inode);
      await clients.close();
    },
  };
}

/**
 * Under another name first: it gets its own when it can only be used by those who may, and libuv, which
 * removes a path that it bound without looking, does not know it.
 * @returns the inode number
 */
async function listen(
  server: Server,
  setting: string,
  path: string,
  owner: ProcessUser | undefined,
): Promise<number> {
  const first = `${path}~`;
  try {
    await removeStale(setting, first);
    const listening = once(server, 'listening');
    const mask = process.umask(0o177);
    try {
      server.listen(first);
    } finally {
      process.umask(mask);
    }
    await listening;
    if (owner !== undefined) giveTo(owner, setting, first);
    linkSync(first, path);
    rmSync(first);
    return inodeOfOwn(setting, path, owner?.userId);
  } catch (error) {
    server.close();
    if (error instanceof ConfigError) throw error;
    const { code = 'EIO' } = error as NodeJS.ErrnoException;
    // libuv says EACCES of a directory that is not there.
    const advice = existsSync(dirname(path))
      ? 'the directory must be writable, on a file system that has sockets'
      : 'its directory must exist';
    throw new ConfigError(setting, `the control socket cannot be made: ${code}`, advice);
  }
}

/**
 * In a directory where others may write, what was linked need not be what was made. No chmod: it would
 * follow a symbolic link, and the umask has given the mode.
 */
function inodeOfOwn(setting: string, path: string, userId = process.geteuid?.()): number {
  const found = lstatSync(path);
  if (isClosed(found, userId)) return found.ino;
  rmSync(path);
  throw somethingElse(setting);
}

function isClosed(found: Stats, userId: number | undefined): boolean {
  return found.isSocket() && found.uid === userId && (found.mode & 0o777) === 0o600;
}

function somethingElse(setting: string): ConfigError {
  const reason = 'somebody put something else in the place of the control socket';
  return new ConfigError(setting, reason, 'choose a directory where nobody else may write');
}

/** Not by its name, where another file may stand by then. */
function giveTo({ userId, groupId }: ProcessUser, setting: string, path: string): void {
  const fd = openSync(path, O_PATH | constants.O_NOFOLLOW);
  try {
    if (!isClosed(fstatSync(fd), process.geteuid?.())) throw somethingElse(setting);
    chownSync(`/proc/self/fd/${fd}`, userId, groupId);
  } finally {
    closeSync(fd);
  }
}

/** @throws ConfigError where something else is, or somebody listens */
async function removeStale(setting: string, path: string): Promise<void> {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return;
  if (!found.isSocket()) {
    const reason = `${path} is there and is not a socket`;
    throw new ConfigError(setting, reason, 'move it away, or choose another path');
  }
  if (await isListening(path)) {
    const reason = 'another process listens there';
    const advice = `stop it (procflow ctl -c ${path} shutdown), or choose another path`;
    throw new ConfigError(setting, reason, advice);
  }
  rmSync(path, { force: true });
}

async function isListening(path: string): Promise<boolean> {
  const socket = createConnection(path);
  try {
    await once(socket, 'connect');
    return true;
  } catch (error) {
    // EAGAIN: its queue is full. Only a refusal says that nobody is there.
    const { code } = error as NodeJS.ErrnoException;
    return code !== 'ECONNREFUSED' && code !== 'ENOENT';
  } finally {
    socket.destroy();
  }
}

function removeOwn(path: string, inode: number): void {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found?.isSocket() !== true || found.ino !== inode) return;
  try {
    rmSync(path, { force: true });
  } catch {
    // The directory is not that of the user it has become: the next start replaces what nobody listens to.
  }
}

class ClientService {
  readonly #options: ControlSocketOptions;
  readonly #clients = new Map<Socket, Promise<void>>();
  #refusalNoticeMs = -Infinity;

  constructor(options: ControlSocketOptions) {
    this.#options = options;
  }

  serve(socket: Socket): void {
    // A client that goes away has what it wanted.
    socket.on('error', () => undefined);
    const exchange = this.#exchange(socket)
      .catch(() => undefined)
      .finally(() => {
        this.#clients.delete(socket);
        socket.destroySoon();
      });
    this.#clients.set(socket, exchange);
  }

  /** Waits a moment for answers, and not for one that does not come. */
  async close(): Promise<void> {
    const late = new AbortController();
    const moment = sleep(CLOSE_MS, undefined, { signal: late.signal }).catch(() => undefined);
    await Promise.race([Promise.all(this.#clients.values()), moment]);
    late.abort();
    for (const socket of this.#clients.keys()) socket.destroy();
  }

  async #exchange(socket: Socket): Promise<void> {
    const { answer, errorText, patienceMs = DEFAULT_PATIENCE_MS } = this.#options;
    const refusal = this.#refusal(socket);
    if (refusal !== undefined) {
      // With its question unread the client would get a reset behind the answer.
      await readRequest(socket, Math.min(patienceMs, REFUSED_PATIENCE_MS));
      await sendAnswer(socket, [errorText(refusal)], patienceMs);
      return;
    }
    const request = await readRequest(socket, patienceMs);
    if (request === undefined) return;
    await sendAnswer(
      socket,
      told(() => answer(request), errorText),
      patienceMs,
    );
  }

  /** Why this client may not ask; undefined where it may. */
  #refusal(socket: Socket): string | undefined {
    const own = this.#options.owner?.userId ?? process.geteuid?.() ?? 0;
    const fd = (socket as { _handle?: { readonly fd?: number } | null })._handle?.fd ?? -1;
    let uid: number;
    try {
      uid = peerUserId(fd);
    } catch (error) {
      return `who asks is not known: ${error instanceof Error ? error.message : String(error)}`;
    }
    if (uid === 0 || uid === own) return undefined;
    const nowMs = performance.now();
    if (nowMs - this.#refusalNoticeMs > REFUSAL_NOTICE_MS) {
      this.#refusalNoticeMs = nowMs;
      this.#options.onNotice(`control socket: user id ${uid} was refused`);
    }
    return `only root and user id ${own}, which runs procflow, may ask; this is user id ${uid}`;
  }
}

/** An error becomes the end of the answer. */
async function* told(
  answer: () => AsyncIterable<string>,
  errorText: (reason: string) => string,
): AsyncGenerator<string> {
  try {
    yield* answer();
  } catch (error) {
    yield errorText(error instanceof Error ? error.message : String(error));
  }
}
