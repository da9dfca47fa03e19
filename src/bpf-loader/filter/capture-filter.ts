// A filter expression on the frames of a capture file: libpcap decides, in user space, as tcpdump -r.
import { openFilterCompiler, openLibpcap } from './compile-filter.js';

export interface CaptureFilter {
  /**
   * @param start of the frame's first octet in the buffer, `end` behind its last captured one
   * @param wireOctets the frame's length before it was cut
   */
  matches(bytes: Buffer, start: number, end: number, wireOctets: number): boolean;
  close(): void;
}

/**
 * @param linkType LINKTYPE_ number, as the file says it
 * @param isBigEndian the file's byte order
 * @throws FilterError that libpcap does not take the expression, BpfError when there is no libpcap
 */
export function openCaptureFilter(
  expression: string,
  linkType: number,
  isBigEndian = false,
): CaptureFilter {
  const libpcap = openLibpcap();
  // Of no file is known which mask its network has; tcpdump takes 0 too.
  const instructions = openFilterCompiler(expression, libpcap).compile({
    ...{ linkType, isBigEndian, netmask: 0 },
  });
  const filter = libpcap.interpreter(instructions);
  return {
    matches: (bytes, start, end, wireOctets) => filter(bytes, start, wireOctets, end - start) !== 0,
    // What it holds is the garbage collector's.
    close: () => undefined,
  };
}
