// What the measured process is told to do, and what it tells then.
import type { TemplateProfile } from '../../src/templates/flow-fields.js';
import type { ExportVersion } from '../../src/templates/flow-template.js';

interface Target {
  readonly version: ExportVersion;
  readonly profile: TemplateProfile;
  /** By node:dgram, as where many cannot be sent in one call. */
  readonly isOneByOne: boolean;
}

/** Where records go; undefined: they are counted, and that is all. */
export const TARGETS = {
  'read only': undefined,
  v5: { version: 5, profile: 'process', isOneByOne: false },
  v9: { version: 9, profile: 'process', isOneByOne: false },
  IPFIX: { version: 10, profile: 'process', isOneByOne: false },
  'v9, full': { version: 9, profile: 'full', isOneByOne: false },
  'IPFIX, full': { version: 10, profile: 'full', isOneByOne: false },
  'v9, node:dgram': { version: 9, profile: 'process', isOneByOne: true },
} as const satisfies Readonly<Record<string, Target | undefined>>;

export type TargetName = keyof typeof TARGETS;

/** Of one sweep. */
export interface Swept {
  readonly records: number;
  /** Until the last message was sent. */
  readonly ms: number;
  /** Until the last flow had left the kernel. */
  readonly sweptMs: number;
  /** Of the whole process, the thread pool included. */
  readonly userUs: number;
  readonly systemUs: number;
  /** Of the garbage collector. */
  readonly longestPauseMs: number;
  /** Of the event loop, whoever holds it up. */
  readonly longestDelayMs: number;
  /** For which it was held up by its own work: CPU time of its thread. */
  readonly longestTurnMs: number;
  /** Records and messages that were sent. */
  readonly exported: number;
  readonly messages: number;
}
