// The other end of the control socket: asks and hands on the answer as it comes.
import { lstatSync } from 'node:fs';
import { createConnection } from 'node:net';
import { once } from 'node:events';

export class ControlError extends Error {
  constructor(path: string, reason: string, advice: string) {
    super(`control socket ${path}: ${reason} (${advice})`);
    this.name = 'ControlError';
  }
}

/**
 * @param request one line, without its end
 * @returns the answer, piece by piece
 * @throws ControlError when nobody answers there
 */
export async function* askControl(path: string, request: string): AsyncGenerator<string> {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found !== undefined && !found.isSocket()) {
    throw new ControlError(path, 'is not a socket', 'give the one of procflow export with -c');
  }
  const socket = createConnection(path);
  socket.setEncoding('utf8');
  try {
    await once(socket, 'connect');
    socket.write(`${request}\n`);
    for await (const piece of socket) yield piece as string;
  } catch (error) {
    throw connectError(path, error as NodeJS.ErrnoException);
  } finally {
    socket.destroy();
  }
}

function connectError(path: string, { code = 'EIO' }: NodeJS.ErrnoException): ControlError {
  switch (code) {
    case 'ENOENT':
      return new ControlError(
        path,
        'is not there',
        `start procflow export with -c ${path}, or give with -c the path of the one that runs`,
      );
    case 'ECONNREFUSED':
      return new ControlError(path, 'nobody listens', 'the procflow that made it has ended');
    case 'EACCES':
      return new ControlError(path, 'EACCES', 'run as root, or as the user that runs procflow');
    case 'ECONNRESET':
    case 'EPIPE':
      return new ControlError(path, 'closed in the middle', 'has procflow just ended?');
    default:
      return new ControlError(path, code, 'is it the control socket of procflow?');
  }
}
