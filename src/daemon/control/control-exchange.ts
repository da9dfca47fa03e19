// One question and its answer on a control socket, within limits: a client that is silent, never ends
// its line or does not read is let go.
import type { Socket } from 'node:net';

const MAX_REQUEST_OCTETS = 1024;

/**
 * The first line, without its end; what comes behind it is not read. A client that has said all may
 * leave the end out. Undefined when there is none in time.
 */
export function readRequest(socket: Socket, patienceMs: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    let bytes = Buffer.alloc(0);
    const finish = (request: string | undefined): void => {
      clearTimeout(timer);
      socket.off('data', onData).off('end', onEnd).off('close', onClose);
      // So that the client's close is still noticed.
      socket.resume();
      resolve(request);
    };
    const onData = (chunk: Buffer): void => {
      bytes = Buffer.concat([bytes, chunk]);
      const end = bytes.indexOf('\n');
      if (end >= 0 && end <= MAX_REQUEST_OCTETS) finish(text(bytes.subarray(0, end)));
      else if (bytes.length > MAX_REQUEST_OCTETS) finish(undefined);
    };
    const onEnd = (): void => {
      finish(bytes.length === 0 ? undefined : text(bytes));
    };
    const onClose = (): void => {
      finish(undefined);
    };
    const timer = setTimeout(onClose, patienceMs);
    socket.on('data', onData).on('end', onEnd).on('close', onClose);
  });
}

function text(line: Buffer): string {
  return line.toString('utf8').replace(/\r$/, '');
}

/** As fast as the client reads; resolves when it has everything, or is gone or stands still. */
export async function sendAnswer(
  socket: Socket,
  pieces: AsyncIterable<string> | Iterable<string>,
  patienceMs: number,
): Promise<void> {
  for await (const piece of pieces) {
    if (!(await within(patienceMs, written(socket, piece)))) {
      socket.destroy();
      return;
    }
  }
  const finished = new Promise<boolean>((resolve) => {
    socket.end(() => {
      resolve(true);
    });
  });
  if (!(await within(patienceMs, finished))) socket.destroy();
}

/** Whether the kernel has taken it. */
function written(socket: Socket, piece: string): Promise<boolean> {
  return new Promise((resolve) => {
    socket.write(piece, (error) => {
      resolve(error === null || error === undefined);
    });
  });
}

async function within(patienceMs: number, event: Promise<boolean>): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<boolean>((resolve) => {
    timer = setTimeout(resolve, patienceMs, false);
  });
  try {
    return await Promise.race([event, late]);
  } finally {
    clearTimeout(timer);
  }
}
