// One flow record: a view on the bytes that the kernel wrote. No object is made per record or
// per field; a reader moves one view from record to record.
import {
  ATTRIBUTION_METHOD,
  FLOW_DIRECTION,
  FLOW_FLAG,
  FLOW_RECORD,
  PROCESS_OWNER,
} from './flow-contract.gen.js';

const F = FLOW_RECORD.fields;
const P = PROCESS_OWNER.fields;
const WORD = 2 ** 32;
/** The byte order of the kernel's numbers. */
const LITTLE = true;

export type FlowSide = 'source' | 'destination';

/** Found by what usually holds, not by the packet's own socket: it may be another process. */
const HEURISTIC_METHODS: ReadonlySet<number> = new Set([
  ATTRIBUTION_METHOD.ATTRIBUTION_LISTENER,
  ATTRIBUTION_METHOD.ATTRIBUTION_REVERSE_FLOW,
  ATTRIBUTION_METHOD.ATTRIBUTION_ICMP_ID,
  ATTRIBUTION_METHOD.ATTRIBUTION_ICMP_ERROR,
]);

export class FlowRecord {
  bytes: Buffer = Buffer.alloc(FLOW_RECORD.size);
  /** The same octets: numbers are read several times faster from it. */
  view: DataView = viewOf(this.bytes);
  /** Where the record begins in `bytes`. */
  offset = 0;

  /** Points this view at a record. */
  at(bytes: Buffer, offset: number): this {
    if (bytes !== this.bytes) {
      this.bytes = bytes;
      this.view = viewOf(bytes);
    }
    this.offset = offset;
    return this;
  }

  get firstNs(): bigint {
    return this.view.getBigUint64(this.offset + F.first_ns.offset, LITTLE);
  }
  get lastNs(): bigint {
    return this.view.getBigUint64(this.offset + F.last_ns.offset, LITTLE);
  }
  /** The same as numbers: see kernelNs. */
  get first(): number {
    return this.#u64(F.first_ns.offset);
  }
  get last(): number {
    return this.#u64(F.last_ns.offset);
  }
  get packets(): number {
    return this.#u64(F.packets.offset);
  }
  get octets(): number {
    return this.#u64(F.octets.offset);
  }
  get ipVersion(): number {
    return this.#u8(F.ip_version.offset);
  }
  get protocol(): number {
    return this.#u8(F.protocol.offset);
  }
  get direction(): number {
    return this.#u8(F.direction.offset);
  }
  get flags(): number {
    return this.#u8(F.flags.offset);
  }
  get endReason(): number {
    return this.#u8(F.end_reason.offset);
  }
  get tcpFlags(): number {
    return this.view.getUint16(this.offset + F.tcp_flags.offset, LITTLE);
  }
  get interfaceIndex(): number {
    return this.view.getUint32(this.offset + F.interface_index.offset, LITTLE);
  }
  /** The network namespace that the flow was metered in: its inode number, as lsns shows it. */
  get networkNamespace(): number {
    return this.view.getUint32(this.offset + F.netns.offset, LITTLE);
  }
  get sourcePort(): number {
    return this.view.getUint16(this.offset + F.source_port.offset);
  }
  get destinationPort(): number {
    return this.view.getUint16(this.offset + F.destination_port.offset);
  }
  get icmpTypeCode(): number {
    return this.view.getUint16(this.offset + F.icmp_type_code.offset);
  }
  /** The address in text, IPv6 in the form of RFC 5952. */
  address(side: FlowSide): string {
    const field = side === 'source' ? F.source_address : F.destination_address;
    const start = this.offset + field.offset;
    return this.ipVersion === 4 ? formatIPv4(this.bytes, start) : formatIPv6(this.bytes, start);
  }
  /**
   * Whether a process is looked for at this side: this host sends what goes out and receives what
   * comes in, and on loopback it does both. At neither side of a flow of a capture file.
   */
  isLocal(side: FlowSide): boolean {
    if ((this.flags & FLOW_FLAG.FLOW_LOOPBACK) !== 0) return true;
    if (this.isReplayed) return false;
    const { FLOW_EGRESS, FLOW_INGRESS } = FLOW_DIRECTION;
    return this.direction === (side === 'source' ? FLOW_EGRESS : FLOW_INGRESS);
  }
  /** Whether it is of a capture file. */
  get isReplayed(): boolean {
    return (this.flags & FLOW_FLAG.FLOW_REPLAYED) !== 0;
  }
  /** The side on this host; the sending one where both are (loopback). */
  get localSide(): FlowSide {
    return this.isLocal('source') ? 'source' : 'destination';
  }
  /** Whether a process of this host stands at this side of the flow. */
  hasProcess(side: FlowSide): boolean {
    return this.pid(side) !== 0;
  }
  /** Process id (thread group) in the initial pid namespace; 0 without a process. */
  pid(side: FlowSide): number {
    return this.view.getUint32(this.#owner(side) + P.pid.offset, LITTLE);
  }
  /** Effective user id in the initial user namespace. */
  uid(side: FlowSide): number {
    return this.view.getUint32(this.#owner(side) + P.uid.offset, LITTLE);
  }
  /** Start of the process, CLOCK_BOOTTIME: with the pid its identity. */
  processStartNs(side: FlowSide): bigint {
    return this.view.getBigUint64(this.#owner(side) + P.start_ns.offset, LITTLE);
  }
  /** The same as a number: see kernelNs. */
  processStart(side: FlowSide): number {
    return this.#u64(this.#owner(side) - this.offset + P.start_ns.offset);
  }
  /** Counts the execs of this pid: after one it is another program. */
  execId(side: FlowSide): number {
    return this.view.getUint32(this.#owner(side) + P.exec_id.offset, LITTLE);
  }
  /** In cgroup v2: the inode of its directory there. */
  cgroupId(side: FlowSide): bigint {
    return this.view.getBigUint64(this.#owner(side) + P.cgroup_id.offset, LITTLE);
  }
  /** One of ATTRIBUTION_METHOD. */
  attributionMethod(side: FlowSide): number {
    return this.#u8(this.#owner(side) + P.method.offset - this.offset);
  }
  /** One of UNKNOWN_REASON: why there is no process where one was looked for. */
  unknownReason(side: FlowSide): number {
    return this.#u8(this.#owner(side) + P.reason.offset - this.offset);
  }
  /** Whether the processes of this host are known rather than inferred: both of them on loopback. */
  get isAttributionReliable(): boolean {
    return this.#isReliable('source') && this.#isReliable('destination');
  }
  /** The process name as the kernel has it, unsanitised: up to 15 octets, decoded as UTF-8. */
  comm(side: FlowSide): string {
    const start = this.#owner(side) + P.comm.offset;
    let end = start;
    while (end < start + P.comm.size && this.bytes[end] !== 0) end++;
    return this.bytes.toString('utf8', start, end);
  }

  /** The same as octets, NUL padded to the length of the field. */
  copyComm(side: FlowSide, out: Buffer): void {
    const start = this.#owner(side) + P.comm.offset;
    this.bytes.copy(out, 0, start, start + P.comm.size);
  }

  #isReliable(side: FlowSide): boolean {
    return !this.isLocal(side) || !HEURISTIC_METHODS.has(this.attributionMethod(side));
  }
  #owner(side: FlowSide): number {
    return this.offset + (side === 'source' ? F.source.offset : F.destination.offset);
  }
  #u8(field: number): number {
    return this.view.getUint8(this.offset + field);
  }
  /** Exact up to 2^53, which no counter of a flow reaches. */
  #u64(field: number): number {
    const at = this.offset + field;
    return this.view.getUint32(at + 4, LITTLE) * WORD + this.view.getUint32(at, LITTLE);
  }
}

/** Another way to the same octets. */
export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}

function formatIPv4(bytes: Buffer, at: number): string {
  return bytes.subarray(at, at + 4).join('.');
}

/** RFC 5952: lower case, no leading zeros, the longest run of two or more zero groups as "::". */
function formatIPv6(bytes: Buffer, at: number): string {
  const groups: number[] = [];
  for (let i = 0; i < 16; i += 2) groups.push(bytes.readUInt16BE(at + i));
  let best = { start: 0, length: 1 };
  for (let start = 0; start < 8; start++) {
    let length = 0;
    while (start + length < 8 && groups[start + length] === 0) length++;
    if (length > best.length) best = { start, length };
  }
  const text = (part: number[]): string => part.map((group) => group.toString(16)).join(':');
  if (best.length < 2) return text(groups);
  return `${text(groups.slice(0, best.start))}::${text(groups.slice(best.start + best.length))}`;
}
