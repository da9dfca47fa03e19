// From a filter expression (pcap-filter(7)) to classic BPF: libpcap's own compiler.
import { BpfError } from '../bpf-error.js';
import { loadLibpcap, type FilterLink, type Libpcap } from '../native/libpcap.js';

/** LINKTYPE_ numbers of what the kernel shows a filter. */
export const LINK_TYPE = { ethernet: 1, rawIp: 101 } as const;

const MAX_SHOWN = 120;

/** A filter expression that cannot be taken, mostly in libpcap's words: its author can mend it. */
export class FilterError extends Error {
  readonly expression: string;

  constructor(expression: string, message: string) {
    // Where an interface was meant.
    const isOneWord = /^\S+$/.test(expression);
    const advice = isOneWord ? 'see man pcap-filter; -i names interfaces' : 'see man pcap-filter';
    super(`filter "${shortened(expression)}": ${message} (${advice})`);
    this.name = 'FilterError';
    this.expression = expression;
  }
}

/** For a message. */
export function shortened(expression: string): string {
  const isLong = expression.length > MAX_SHOWN;
  return isLong ? `${expression.slice(0, MAX_SHOWN)}...` : expression;
}

/** @throws BpfError */
export function openLibpcap(): Libpcap {
  const path = process.env.PROCFLOW_LIBPCAP ?? 'libpcap.so.0.8';
  try {
    return loadLibpcap(path);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new BpfError(
      'LIBPCAP_MISSING',
      `load ${path}`,
      `${reason}; filter expressions need libpcap: apt-get install libpcap0.8`,
    );
  }
}

/**
 * @returns whole instructions
 * @throws FilterError
 */
export function compileFilter(libpcap: Libpcap, expression: string, link: FilterLink): Buffer {
  const compiled = libpcap.compile(expression, link);
  if ('message' in compiled) throw new FilterError(expression, compiled.message);
  return compiled.instructions;
}
