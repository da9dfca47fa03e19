// Events of processes, decoded from the bytes that bpf/process_events.bpf.c wrote.
import { StringDecoder } from 'node:string_decoder';
import { kernelNs } from '../flow/clock.js';
import { PROCESS_EVENT, PROCESS_EVENT_KIND } from '../flow/flow-contract.gen.js';

const F = PROCESS_EVENT.fields;

type EventKind = 'found' | 'forked' | 'executed' | 'exited';

const KINDS: ReadonlyMap<number, EventKind> = new Map([
  [PROCESS_EVENT_KIND.PROCESS_FOUND, 'found'],
  [PROCESS_EVENT_KIND.PROCESS_FORKED, 'forked'],
  [PROCESS_EVENT_KIND.PROCESS_EXECUTED, 'executed'],
  [PROCESS_EVENT_KIND.PROCESS_EXITED, 'exited'],
]);

/** A process is another one when any of these differs. */
export interface ProcessKey {
  /** Thread group in the initial pid namespace. */
  readonly pid: number;
  /** See kernelNs in src/flow/clock.ts. */
  readonly startNs: number;
  /** Count of execs. */
  readonly execId: number;
}

export interface ProcessEvent extends ProcessKey {
  readonly kind: EventKind;
  readonly cgroupId: bigint;
  readonly parentPid: number;
  readonly parentStartNs: number;
  readonly parentName: string;
  /** As executed, of a script its interpreter; empty but for 'executed'. */
  readonly executable: string;
  readonly commandLine: string;
}

/** What is not an event ends the list: nothing after it can be trusted. Never throws. */
export function decodeProcessEvents(bytes: Buffer): ProcessEvent[] {
  const events: ProcessEvent[] = [];
  for (let at = 0; at + PROCESS_EVENT.size <= bytes.length;) {
    const kind = KINDS.get(bytes.readUInt8(at + F.kind.offset));
    const executable = at + PROCESS_EVENT.size;
    const arguments_ = executable + bytes.readUInt16LE(at + F.executable_octets.offset);
    const end = arguments_ + bytes.readUInt16LE(at + F.arguments_octets.offset);
    if (kind === undefined || end > bytes.length) break;
    const isScript = bytes.readUInt8(at + F.is_script.offset) !== 0;
    const name = at + F.parent_comm.offset;
    events.push({
      kind,
      pid: bytes.readUInt32LE(at + F.pid.offset),
      startNs: kernelNs(bytes, at + F.start_ns.offset),
      execId: bytes.readUInt32LE(at + F.exec_id.offset),
      cgroupId: bytes.readBigUInt64LE(at + F.cgroup_id.offset),
      parentPid: bytes.readUInt32LE(at + F.parent_pid.offset),
      parentStartNs: kernelNs(bytes, at + F.parent_start_ns.offset),
      parentName: untilNul(bytes.subarray(name, name + F.parent_comm.size)),
      executable: untilNul(
        isScript ? bytes.subarray(arguments_, end) : bytes.subarray(executable, arguments_),
      ),
      commandLine: joinArguments(bytes.subarray(arguments_, end)),
    });
    at = end;
  }
  return events;
}

/**
 * Arguments as a process has them in memory, joined by one space.
 * @param bytes NUL after each argument; what is cut off in the middle of a character loses that
 */
export function joinArguments(bytes: Buffer): string {
  let end = bytes.length;
  while (end > 0 && bytes[end - 1] === 0) end--;
  return new StringDecoder('utf8').write(bytes.subarray(0, end)).replaceAll('\0', ' ');
}

function untilNul(bytes: Buffer): string {
  const end = bytes.indexOf(0);
  return bytes.toString('utf8', 0, end === -1 ? bytes.length : end);
}
