// From a filter expression (pcap-filter(7)) to classic BPF: libpcap's own compiler.
import { BpfError } from '../bpf-error.js';
import { CLASSIC_INSTRUCTION_OCTETS } from './classic-bpf.js';
import { loadLibpcap, type FilterLink, type Libpcap } from '../native/libpcap.js';

/** LINKTYPE_ numbers of what the kernel shows a filter. */
export const LINK_TYPE = { ethernet: 1, rawIp: 101 } as const;

const MAX_SHOWN = 120;
/** libpcap needs some three seconds for 1000 times "host X or", without its optimizer. */
const MAX_WORDS = 3000;
/** Some 200 of these, for which its optimizer needs half a second; 1000 take it minutes. */
const MAX_OPTIMIZED_OCTETS = 6000 * CLASSIC_INSTRUCTION_OCTETS;
export const FEWER = 'give fewer conditions, "net" covers more than "host"';

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

/** Of pcap-filter(7), not a part of a host's name. */
export function hasWord(expression: string, word: string): boolean {
  return wordsOf(expression).includes(word);
}

function wordsOf(expression: string): readonly string[] {
  return expression.match(/[^\s()!&|]+|[&|]+/g) ?? [];
}

/** An expression, and what libpcap makes of it for each link: once, as it can take seconds. */
export interface FilterCompiler {
  readonly expression: string;
  /**
   * @returns whole instructions
   * @throws FilterError
   */
  readonly compile: (link: FilterLink) => Buffer;
}

/** @throws BpfError when there is no libpcap */
export function openFilterCompiler(
  expression: string,
  libpcap: Pick<Libpcap, 'compile'> = openLibpcap(),
): FilterCompiler {
  // Nothing else asks for the mask.
  const knowsMask = hasWord(expression, 'broadcast');
  const compiled = new Map<string, Buffer | FilterError>();
  return {
    expression,
    compile: ({ netmask, ...link }) => {
      const mask = knowsMask ? netmask : 0;
      const key = `${link.linkType} ${link.isBigEndian === true} ${mask}`;
      let result = compiled.get(key);
      if (result === undefined) {
        const whole = { ...link, ...(mask !== undefined && { netmask: mask }) };
        result = compileOnce(libpcap, expression, whole);
        compiled.set(key, result);
      }
      if (result instanceof FilterError) throw result;
      return result;
    },
  };
}

function compileOnce(
  libpcap: Pick<Libpcap, 'compile'>,
  expression: string,
  link: FilterLink,
): Buffer | FilterError {
  const words = wordsOf(expression).length;
  if (words > MAX_WORDS)
    return new FilterError(expression, `is too long, of ${words} words: ${FEWER}`);
  const plain = libpcap.compile(expression, link, { optimize: false });
  if ('message' in plain) return new FilterError(expression, explained(plain.message));
  if (plain.instructions.length > MAX_OPTIMIZED_OCTETS) return plain.instructions;
  // It can find that nothing matches, and refuses that.
  const optimized = libpcap.compile(expression, link, { optimize: true });
  if ('message' in optimized) return new FilterError(expression, explained(optimized.message));
  return optimized.instructions;
}

/** libpcap's words are about savefiles, also where packets come from the kernel. */
function explained(message: string): string {
  if (!/^(in|out)bound.*savefiles/.test(message)) return message;
  return 'inbound and outbound are not supported: name addresses, as in "dst net 192.0.2.0/24"';
}
