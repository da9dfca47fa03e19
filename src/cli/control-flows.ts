// The flows of the cache, one by one: in the lines of softflowd's dump-flows, with the process behind
// them, and as JSON.
import type { FlowsNow } from '../daemon/control/meter-control.js';
import { epochMs, kernelNs } from '../flow/clock.js';
import { FLOW_RECORD } from '../flow/flow-contract.gen.js';
import { FlowRecord, type FlowSide } from '../flow/flow-record.js';
import type { FlowTimeouts } from '../flow/flow-timeouts.js';
import { flowJson } from './flow-json.js';
import { processText } from './live-line.js';
import { printable } from './printable.js';

const F = FLOW_RECORD.fields;
const TCP_RST = 4;
const TCP_FIN = 1;
const ICMP_PROTOCOLS: ReadonlySet<number> = new Set([1, 58]);

export async function* flowTextPieces(flows: FlowsNow): AsyncGenerator<string> {
  let number = 0;
  for await (const records of recordsOf(flows)) {
    const texts: string[] = [];
    for (const record of records) texts.push(flowText(record, ++number, flows));
    yield texts.join('');
  }
}

export async function* flowJsonPieces(flows: FlowsNow): AsyncGenerator<string> {
  for await (const records of recordsOf(flows)) {
    const lines: string[] = [];
    for (const record of records) {
      lines.push(`${flowJson(record, flows.bootEpoch, flows.directory)}\n`);
    }
    yield lines.join('');
  }
}

/** One view moves over the records of each batch. */
async function* recordsOf({ batches }: FlowsNow): AsyncGenerator<Iterable<FlowRecord>> {
  const view = new FlowRecord();
  for await (const { bytes, count } of batches) {
    yield (function* () {
      for (let i = 0; i < count; i++) yield view.at(bytes, i * FLOW_RECORD.size);
    })();
  }
}

/**
 * softflowd's fields first. The record of a flow has one direction, so those of the other are 0; flow
 * labels are not kept.
 */
function flowText(record: FlowRecord, number: number, flows: FlowsNow): string {
  const { bytes, offset, protocol } = record;
  const isIcmp = ICMP_PROTOCOLS.has(protocol);
  const [sourcePort, destinationPort] = isIcmp
    ? [0, record.icmpTypeCode]
    : [record.sourcePort, record.destinationPort];
  const time = (field: { readonly offset: number }): string =>
    new Date(epochMs(bytes, offset + field.offset, flows.bootEpoch)).toISOString().slice(0, -1);
  const mac = (field: { readonly offset: number; readonly size: number }): string =>
    [...bytes.subarray(offset + field.offset, offset + field.offset + field.size)]
      .map((octet) => octet.toString(16).padStart(2, '0'))
      .join(':');
  const fields = [
    `ACTIVE seq:${number}`,
    `[${record.address('source')}]:${sourcePort} <> [${record.address('destination')}]:${destinationPort}`,
    `proto:${protocol}`,
    `octets>:${record.octets} packets>:${record.packets} octets<:0 packets<:0`,
    `start:${time(F.first_ns)} finish:${time(F.last_ns)}`,
    `tcp>:${(record.tcpFlags & 0xff).toString(16).padStart(2, '0')} tcp<:00`,
    'flowlabel>:00000000 flowlabel<:00000000',
    `vlan>:${bytes.readUInt16LE(offset + F.vlan_id.offset)} vlan<:0`,
    `ether:${mac(F.source_mac)} <> ${mac(F.destination_mac)}`,
    ...(['source', 'destination'] as const).flatMap((side) => processFields(record, side, flows)),
  ];
  const waitS = Math.round(expiresMs(record, flows.timeouts) - flows.bootMs) / 1000;
  const when = waitS < 0 ? 'now' : `in ${Math.floor(waitS)} seconds`;
  return `${fields.join(' ')}\nEXPIRY EVENT for flow ${number} ${when}\n\n`;
}

/** ">" is who sends. */
function processFields(record: FlowRecord, side: FlowSide, flows: FlowsNow): string[] {
  if (!record.isLocal(side)) return [];
  const mark = side === 'source' ? '>' : '<';
  const name = `process${mark}:${processText(record, side, flows.nonProcessNames)}`;
  if (!record.hasProcess(side)) return [name];
  return [name, `user${mark}:${printable(flows.directory.userName(record.uid(side)))}`];
}

/** On the scale of CLOCK_BOOTTIME; the sweep after that takes the flow. */
function expiresMs(record: FlowRecord, timeouts: FlowTimeouts): number {
  const { bytes, offset } = record;
  const firstMs = kernelNs(bytes, offset + F.first_ns.offset) / 1e6;
  const lastMs = kernelNs(bytes, offset + F.last_ns.offset) / 1e6;
  return Math.min(lastMs + idleMs(record, timeouts), firstMs + timeouts.maxlife);
}

function idleMs({ protocol, tcpFlags }: FlowRecord, timeouts: FlowTimeouts): number {
  if (protocol === 17) return timeouts.udp;
  if (ICMP_PROTOCOLS.has(protocol)) return timeouts.icmp;
  if (protocol !== 6) return timeouts.general;
  if ((tcpFlags & TCP_RST) !== 0) return timeouts['tcp.rst'];
  return (tcpFlags & TCP_FIN) === 0 ? timeouts.tcp : timeouts['tcp.fin'];
}
