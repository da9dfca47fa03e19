// Messages on their way to a collector. Their headers are written when they leave: which number a
// message has, and in which session it goes, is not known before.

import type { BootEpoch } from '../../flow/clock.js';

/** Templates, or options records: made anew when they are due. */
export interface ControlMessage {
  /** The whole message, its header still empty. */
  readonly bytes: Buffer;
  /** Template records and options template records. */
  readonly templateRecords: number;
  /** Options records. */
  readonly dataRecords: number;
}

/** The clocks by which the times in a message were written. */
export interface MessageTimes {
  /** Time of day at CLOCK_BOOTTIME zero. */
  readonly bootEpoch: BootEpoch;
  /** Time of day at sysUptime zero, whole milliseconds since 1970. */
  readonly uptimeZeroMs: number;
  /** When the clocks were compared, milliseconds since 1970. */
  readonly packedMs: number;
}

/** Flow records. */
export interface FlowMessage extends ControlMessage {
  /** What the flow records sum up to. */
  readonly packets: number;
  readonly octets: number;
  readonly times: MessageTimes;
}

export type OutgoingMessage = ControlMessage | FlowMessage;

export function isFlowMessage(message: OutgoingMessage): message is FlowMessage {
  return 'times' in message;
}
