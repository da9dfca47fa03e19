// One message in the memory of a queue: a header with what is known of it besides its octets.
import * as zlib from 'node:zlib';
import type { FlowMessage } from '../messages/outgoing-message.js';
import type { MessageMemory } from '../messages/message-slabs.js';
import type { DurableMemory } from './durable-memory.js';

/** Entries begin, and the ring ends, at a multiple of it. */
export const ENTRY_ALIGNMENT = 64;
/** What is behind it up to the end of the ring belongs to no message. */
export const STATE = { waiting: 1, gone: 2, filler: 3 } as const;

// A filler has the first three only.
const ENTRY_OCTETS = 0;
const STATE_AT = 4;
const MESSAGE_OCTETS = 8;
const DATA_RECORDS = 12;
const CHECKSUM = 16;
const EPOCH_NANOSECONDS = 20;
const BATCH = 24;
const PACKETS = 32;
const OCTETS = 40;
const EPOCH_SECONDS = 48;
const UPTIME_ZERO_MS = 56;
const PACKED_MS = 64;
const MESSAGE = 72;

/** The longest header of a message. It is written when the message leaves, and not before. */
const HEADER_OCTETS = 24;

/** Node 20.15 has it; without it damage shows in the headers alone. */
const { crc32 } = zlib as { crc32?: (bytes: Uint8Array) => number };

export function entryOctets(messageOctets: number): number {
  return Math.ceil((MESSAGE + messageOctets) / ENTRY_ALIGNMENT) * ENTRY_ALIGNMENT;
}

/** Not linked yet: nobody looks at it until the head of the queue is behind it. */
export function writeEntry(
  memory: DurableMemory,
  at: number,
  message: FlowMessage,
  batch: number,
): void {
  const { bytes, dataRecords, packets, octets, times } = message;
  memory.setWord(at + ENTRY_OCTETS, entryOctets(bytes.length));
  memory.setWord(at + STATE_AT, STATE.waiting);
  memory.setWord(at + MESSAGE_OCTETS, bytes.length);
  memory.setWord(at + DATA_RECORDS, dataRecords);
  memory.setWord(at + CHECKSUM, checksum(bytes));
  memory.setWord(at + EPOCH_NANOSECONDS, times.bootEpoch.nanoseconds);
  memory.setNumber(at + BATCH, batch);
  memory.setNumber(at + PACKETS, packets);
  memory.setNumber(at + OCTETS, octets);
  memory.setNumber(at + EPOCH_SECONDS, times.bootEpoch.seconds);
  memory.setNumber(at + UPTIME_ZERO_MS, times.uptimeZeroMs);
  memory.setNumber(at + PACKED_MS, times.packedMs);
  memory.copyFrom(bytes, at + MESSAGE);
}

export function writeFiller(memory: DurableMemory, at: number, octets: number): void {
  memory.setWord(at + ENTRY_OCTETS, octets);
  memory.setWord(at + STATE_AT, STATE.filler);
}

export function readMessage(memory: DurableMemory, at: number, held: MessageMemory): FlowMessage {
  return {
    bytes: messageBytes(memory, at),
    templateRecords: 0,
    dataRecords: memory.word(at + DATA_RECORDS),
    packets: memory.number(at + PACKETS),
    octets: memory.number(at + OCTETS),
    times: {
      bootEpoch: {
        seconds: memory.number(at + EPOCH_SECONDS),
        nanoseconds: memory.word(at + EPOCH_NANOSECONDS),
      },
      uptimeZeroMs: memory.number(at + UPTIME_ZERO_MS),
      packedMs: memory.number(at + PACKED_MS),
    },
    memory: held,
  };
}

export function messageBytes(memory: DurableMemory, at: number): Buffer {
  const start = at + MESSAGE;
  return memory.bytes.subarray(start, start + memory.word(at + MESSAGE_OCTETS));
}

export function entryLength(memory: DurableMemory, at: number): number {
  return memory.word(at + ENTRY_OCTETS);
}

export function entryState(memory: DurableMemory, at: number): number {
  return memory.word(at + STATE_AT);
}

export function setGone(memory: DurableMemory, at: number): void {
  memory.setWord(at + STATE_AT, STATE.gone);
}

export function entryBatch(memory: DurableMemory, at: number): number {
  return memory.number(at + BATCH);
}

export function setEntryBatch(memory: DurableMemory, at: number, batch: number): void {
  memory.setNumber(at + BATCH, batch);
}

/** Why what stands there cannot be an entry; undefined when it is one. */
export function entryFault(memory: DurableMemory, at: number): string | undefined {
  const octets = entryLength(memory, at);
  const state = entryState(memory, at);
  const isAligned = octets > 0 && octets % ENTRY_ALIGNMENT === 0;
  if (!isAligned || at + octets > memory.bytes.length) return `a length of ${octets}`;
  if (state === STATE.filler) return undefined;
  if (state !== STATE.waiting && state !== STATE.gone) return `a state of ${state}`;
  const length = memory.word(at + MESSAGE_OCTETS);
  if (entryOctets(length) !== octets) return `a message of ${length} octets in ${octets}`;
  if (state === STATE.gone) return undefined;
  const sums = [PACKETS, OCTETS, EPOCH_SECONDS, UPTIME_ZERO_MS, PACKED_MS];
  if (sums.some((field) => !Number.isFinite(memory.number(at + field)))) return 'a broken header';
  const expected = memory.word(at + CHECKSUM);
  if (expected !== 0 && checksum(messageBytes(memory, at)) !== expected) return 'a wrong checksum';
  return undefined;
}

function checksum(bytes: Buffer): number {
  return crc32 === undefined ? 0 : crc32(bytes.subarray(HEADER_OCTETS));
}
