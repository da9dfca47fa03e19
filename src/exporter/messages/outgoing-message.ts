// Messages on their way to a collector. Their headers are written when they leave: which number a
// message has, and in which session it goes, is not known before.

import type { BootEpoch } from '../../flow/clock.js';
import type { MessageMemory } from './message-slabs.js';

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
  /** Released when the message has left for good; undefined: nobody needs it back. */
  readonly memory?: MessageMemory;
}

export type OutgoingMessage = ControlMessage | FlowMessage;

export function isFlowMessage(message: OutgoingMessage): message is FlowMessage {
  return 'times' in message;
}
