// How a user wants processes to be called in netflow9UserName, applicationName and userName: text with
// placeholders, "{comm}/{pid}". Read here, since lengths in templates follow from it; rendered by
// src/exporter/records/record-processes.ts.
import { TemplateError } from './template-error.js';

/**
 * The most octets that each gives. What can be longer is a user's name that is not from useradd; it is
 * then cut where the field ends, as everything is.
 */
const MAX_OCTETS = {
  /** Name of the process in the kernel. */
  comm: 15,
  /** The kernel's PID_MAX_LIMIT is 2^22. */
  pid: 7,
  uid: 10,
  /** Login name, or the number of a user without one. */
  user: 64,
  /** Path of the executable. */
  exe: 4095,
  /** The last part of that path. */
  exename: 255,
  /** Command line: arguments joined by spaces. */
  command: 4095,
  /** Process id of the parent. */
  ppid: 7,
  /** Name of the parent. */
  parent: 15,
  /** systemd's. */
  unit: 255,
  /** 12 digits of the container's id, or its name where the runtime has only that. */
  container: 64,
  containerid: 64,
  /** docker, podman, containerd, ... */
  runtime: 10,
  /** Path of the cgroup. */
  cgroup: 4095,
  /** Uid of the Kubernetes pod. */
  pod: 36,
} as const;

export type Placeholder = keyof typeof MAX_OCTETS;
/** For people: "{comm} {pid} ..." */
export const PLACEHOLDERS = Object.keys(MAX_OCTETS)
  .map((name) => `{${name}}`)
  .join(' ');

export interface ProcessTextFormat {
  /** As the user wrote it. */
  readonly text: string;
  /** Literal text as UTF-8, and placeholders. */
  readonly parts: readonly (Uint8Array | Placeholder)[];
  /** The longest text that it gives. */
  readonly maxOctets: number;
}

/** Braces doubled, a placeholder, a brace alone, other text. */
const TOKENS = /\{\{|\}\}|\{([^{}]*)\}|[{}]|[^{}]+/g;
/** What the exporter would replace: it has no business in a format. */
const UNFIT = /["\\]|\p{Cc}|\p{Cs}/u;

/** nfdump reads netflow9UserName in these lengths and no others. */
export type Netflow9NameOctets = 20 | 65;

/** @throws TemplateError */
export function parseProcessTextFormat(text: string): ProcessTextFormat {
  if (text === '') throw badFormat(text, 'is empty', advice());
  if (UNFIT.test(text)) {
    throw badFormat(text, 'has a quote, a backslash or a control character', advice());
  }
  const parts: (Uint8Array | Placeholder)[] = [];
  let literal = '';
  for (const [token, name] of text.matchAll(TOKENS)) {
    if (name === undefined) {
      literal += literalText(token, text);
      continue;
    }
    if (!isPlaceholder(name)) throw badFormat(text, `{${name}} stands for nothing`, advice());
    if (literal !== '') parts.push(Buffer.from(literal));
    literal = '';
    parts.push(name);
  }
  if (literal !== '') parts.push(Buffer.from(literal));
  const lengths = parts.map((part) => (typeof part === 'string' ? MAX_OCTETS[part] : part.length));
  return { text, parts, maxOctets: lengths.reduce((sum, octets) => sum + octets, 0) };
}

/** The shorter one, if every text fits with a NUL behind it. */
export function netflow9NameOctets({ maxOctets }: ProcessTextFormat): Netflow9NameOctets {
  return maxOctets <= 19 ? 20 : 65;
}

function literalText(token: string, text: string): string {
  switch (token) {
    case '{{':
      return '{';
    case '}}':
      return '}';
    case '{':
      throw badFormat(text, 'has a { that no } closes', 'write {{ for a brace');
    case '}':
      throw badFormat(text, 'has a } that no { opens', 'write }} for a brace');
    default:
      return token;
  }
}

function isPlaceholder(name: string): name is Placeholder {
  return Object.hasOwn(MAX_OCTETS, name);
}

function advice(): string {
  return `give text with any of ${PLACEHOLDERS}`;
}

function badFormat(text: string, reason: string, advice: string): TemplateError {
  return new TemplateError('bad-format', `read the format ${JSON.stringify(text)}`, reason, advice);
}
