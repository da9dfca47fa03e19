// Standard error of a daemon: whoever reads it shall see its end, which Node cannot give it.
import { closeSync, openSync } from 'node:fs';
import { loadLibcSockets } from './native/libc-sockets.js';

const STANDARD_ERROR = 2;

/** What is written there from now on is nowhere. */
export function closeStandardError(): void {
  const fd = openSync('/dev/null', 'w');
  loadLibcSockets().duplicateOnto(fd, STANDARD_ERROR);
  closeSync(fd);
}
