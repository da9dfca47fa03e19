// Whoever writes files at a path holds a name in the kernel's table of Unix sockets, so that another
// exporter does not take its unfinished file for one that a crash has left.
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { stat } from 'node:fs/promises';
import { createServer } from 'node:net';
import { basename, dirname } from 'node:path';
import { systemErrorCode } from '../export-error.js';

export interface FileClaim {
  readonly release: () => Promise<void>;
}

/**
 * Undefined when another has it. It is gone with its process, however that ends, and seen by those of
 * the same network namespace. Rejects with a system error where there can be no such name.
 */
export async function claimFile(path: string): Promise<FileClaim | undefined> {
  // Not the path's text: the directory may be reached by several, and be another one in a container.
  const { dev, ino } = await stat(dirname(path), { bigint: true });
  const place = JSON.stringify([String(dev), String(ino), basename(path)]);
  const hash = createHash('sha256').update(place).digest('hex');
  const server = createServer((socket) => socket.destroy());
  try {
    server.listen(`\0procflow-file-${hash}`);
    await once(server, 'listening');
  } catch (error) {
    if (systemErrorCode(error) === 'EADDRINUSE') return undefined;
    throw error;
  }
  server.unref();
  return {
    release: () => new Promise((resolve) => server.close(() => resolve())),
  };
}
