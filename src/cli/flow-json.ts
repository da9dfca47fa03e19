// A flow record as one JSON object with everything that the record has. Names are those of the
// Information Elements (IANA), with the address family left out of them.
import { epochMs, type BootEpoch } from '../flow/clock.js';
import {
  ATTRIBUTION_METHOD,
  FLOW_DIRECTION,
  FLOW_END_REASON,
  FLOW_FLAG,
  FLOW_RECORD,
  OWNER_FLAG,
  PROCESS_OWNER,
  UNKNOWN_REASON,
} from '../flow/flow-contract.gen.js';
import type { FlowRecord, FlowSide } from '../flow/flow-record.js';
import type { ProcessDirectory, ProcessIdentity } from '../flow/process-directory.js';
import { printableJson } from './printable.js';

const F = FLOW_RECORD.fields;
const P = PROCESS_OWNER.fields;
const METHODS = namesByValue(ATTRIBUTION_METHOD, 'ATTRIBUTION_');
const REASONS = namesByValue(UNKNOWN_REASON, 'REASON_');
const DIRECTIONS = namesByValue(FLOW_DIRECTION, 'FLOW_');
const END_REASONS = namesByValue(FLOW_END_REASON, 'FLOW_END_');

/** One line without its newline. */
export function flowJson(
  record: FlowRecord,
  bootEpoch: BootEpoch,
  directory: ProcessDirectory,
): string {
  const { bytes, offset } = record;
  const u8 = (field: { offset: number }): number => bytes.readUInt8(offset + field.offset);
  const u16 = (field: { offset: number }): number => bytes.readUInt16LE(offset + field.offset);
  const mac = (field: { offset: number; size: number }): string =>
    [...bytes.subarray(offset + field.offset, offset + field.offset + field.size)]
      .map((octet) => octet.toString(16).padStart(2, '0'))
      .join(':');
  const owner = (side: FlowSide): object | null =>
    record.isLocal(side) ? ownerObject(record, side, bootEpoch, directory) : null;
  return printableJson({
    flowStartMilliseconds: epochMs(bytes, offset + F.first_ns.offset, bootEpoch),
    flowEndMilliseconds: epochMs(bytes, offset + F.last_ns.offset, bootEpoch),
    // A flow that goes on has none.
    flowEndReason: record.endReason === 0 ? null : nameOf(END_REASONS, record.endReason),
    flowDirection: nameOf(DIRECTIONS, record.direction),
    interfaceIndex: record.interfaceIndex,
    networkNamespace: record.networkNamespace,
    ipVersion: record.ipVersion,
    protocolIdentifier: record.protocol,
    sourceAddress: record.address('source'),
    destinationAddress: record.address('destination'),
    sourceTransportPort: record.sourcePort,
    destinationTransportPort: record.destinationPort,
    packetDeltaCount: record.packets,
    octetDeltaCount: record.octets,
    tcpControlBits: record.tcpFlags,
    icmpTypeCode: record.icmpTypeCode,
    icmpIdentifier: bytes.readUInt16BE(offset + F.icmp_id.offset),
    ipClassOfService: u8(F.tos),
    minimumIpTotalLength: u16(F.min_length),
    maximumIpTotalLength: u16(F.max_length),
    minimumTTL: u8(F.min_ttl),
    maximumTTL: u8(F.max_ttl),
    vlanId: u16(F.vlan_id),
    customerVlanId: u16(F.inner_vlan_id),
    sourceMacAddress: mac(F.source_mac),
    destinationMacAddress: mac(F.destination_mac),
    isFragmented: (record.flags & FLOW_FLAG.FLOW_FRAGMENTED) !== 0,
    isEnded: (record.flags & FLOW_FLAG.FLOW_ENDED) !== 0,
    isLoopback: (record.flags & FLOW_FLAG.FLOW_LOOPBACK) !== 0,
    sourceProcess: owner('source'),
    destinationProcess: owner('destination'),
  });
}

/** Without a process only why: "kernel", "forwarded", or "unknown" with its reason. */
function ownerObject(
  record: FlowRecord,
  side: FlowSide,
  bootEpoch: BootEpoch,
  directory: ProcessDirectory,
): object {
  const attribution = nameOf(METHODS, record.attributionMethod(side));
  if (!record.hasProcess(side)) {
    const reason = record.unknownReason(side);
    if (reason === UNKNOWN_REASON.REASON_NONE) return { attribution };
    return { attribution, reason: nameOf(REASONS, reason) };
  }
  const { bytes } = record;
  const at = record.offset + (side === 'source' ? F.source.offset : F.destination.offset);
  return {
    attribution,
    processId: record.pid(side),
    processName: record.comm(side),
    userId: record.uid(side),
    userName: directory.userName(record.uid(side)),
    startMilliseconds: epochMs(bytes, at + P.start_ns.offset, bootEpoch),
    execCount: record.execId(side),
    // An id that may need all its 64 bits, which a JSON number does not carry everywhere.
    cgroupId: record.cgroupId(side).toString(),
    isShared: (bytes.readUInt8(at + P.flags.offset) & OWNER_FLAG.OWNER_SHARED) !== 0,
    ...identityObject(directory.identity(record, side)),
  };
}

/** What is known of the process beyond the record; what is not known is left out. */
function identityObject(identity: ProcessIdentity | undefined): object {
  if (identity === undefined) return {};
  const members = {
    executable: identity.executable,
    commandLine: identity.commandLine,
    parentProcessId: identity.parentPid,
    parentProcessName: identity.parentName,
    cgroupPath: identity.cgroupPath,
    systemdUnit: identity.unit,
    containerId: identity.containerId,
    containerRuntime: identity.containerRuntime,
    podUid: identity.podUid,
  };
  return Object.fromEntries(
    Object.entries(members).filter(([, value]) => value !== '' && value !== 0),
  );
}

function nameOf(names: ReadonlyMap<number, string>, value: number): string {
  return names.get(value) ?? value.toString();
}

/** FLOW_END_IDLE_TIMEOUT becomes idleTimeout. */
function namesByValue(
  values: Readonly<Record<string, number>>,
  prefix: string,
): ReadonlyMap<number, string> {
  return new Map(
    Object.entries(values).map(([name, value]) => [
      value,
      name
        .slice(prefix.length)
        .toLowerCase()
        .replace(/_(.)/g, (_match, letter: string) => letter.toUpperCase()),
    ]),
  );
}
