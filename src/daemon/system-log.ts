// The system log, for what a daemon has to say: a line of RFC 3164 as one datagram to the local syslog.
import type { UnixDatagramSocket } from '../bpf-loader/export-sockets.js';

interface SystemLogOptions {
  readonly openUnixDatagram: (path: string) => UnixDatagramSocket;
  /** Default: /dev/log */
  readonly path?: string;
  readonly now?: () => Date;
}

const PATH = '/dev/log';
/** facility daemon (3), severity notice (5) */
const PRIORITY = 3 * 8 + 5;
const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
/** The lines' own beginning, which the log has by itself. */
const NAME = /^procflow: /;

/**
 * Takes lines without their ends. Never waits and never throws: where nobody takes a line it is lost, which
 * is said once somebody does again.
 */
export function openSystemLog(options: SystemLogOptions): (line: string) => void {
  const { openUnixDatagram, path = PATH, now = () => new Date() } = options;
  let socket: UnixDatagramSocket | undefined;
  let lost = 0;
  const send = (line: string): boolean => {
    const bytes = Buffer.from(logLine(line.replace(NAME, ''), now()));
    // The second time by a new socket: the log may have been restarted.
    for (let attempt = 0; attempt < 2; attempt++) {
      try {
        socket ??= openUnixDatagram(path);
      } catch {
        return false;
      }
      if (socket.send(bytes, bytes.length) === 0) return true;
      socket.close();
      socket = undefined;
    }
    return false;
  };
  return (line) => {
    if (lost > 0 && send(`${lost} lines did not get into this log`)) lost = 0;
    if (!send(line)) lost++;
  };
}

/** In local time, as the log's readers expect. */
function logLine(text: string, date: Date): string {
  const two = (value: number): string => String(value).padStart(2, '0');
  const day = String(date.getDate()).padStart(2);
  const time = [date.getHours(), date.getMinutes(), date.getSeconds()].map(two).join(':');
  const month = MONTHS[date.getMonth()] ?? '';
  return `<${PRIORITY}>${month} ${day} ${time} procflow[${process.pid}]: ${text}`;
}
