// Packets for BPF_PROG_TEST_RUN, header by header. Checksums stay 0: nothing here verifies them.

const ETHERTYPE = { ipv4: 0x0800, arp: 0x0806, vlan: 0x8100, ipv6: 0x86dd, qinq: 0x88a8 } as const;
export type EtherType = keyof typeof ETHERTYPE;

export const SOURCE_MAC = '020000000001';
export const DESTINATION_MAC = '020000000002';
export const SOURCE_IPV4 = '0a000001'; // 10.0.0.1
export const DESTINATION_IPV4 = '0a000002';
export const SOURCE_IPV6 = '20010db8000000000000000000000001'; // 2001:db8::1
export const DESTINATION_IPV6 = '20010db8000000000000000000000002';

export function hex(text: string): Buffer {
  return Buffer.from(text.replace(/\s/g, ''), 'hex');
}

function u16(value: number): Buffer {
  return Buffer.from([(value >> 8) & 0xff, value & 0xff]);
}

export function ethernet(type: EtherType, payload: Buffer): Buffer {
  return Buffer.concat([hex(DESTINATION_MAC + SOURCE_MAC), u16(ETHERTYPE[type]), payload]);
}

/** A tag and what follows it; goes into ethernet('vlan' or 'qinq', ...). */
export function vlan(id: number, next: EtherType, payload: Buffer): Buffer {
  return Buffer.concat([u16(0x2000 | id), u16(ETHERTYPE[next]), payload]);
}

export interface Ipv4Fields {
  readonly protocol: number;
  readonly tos?: number;
  readonly ttl?: number;
  readonly id?: number;
  readonly moreFragments?: boolean;
  /** In units of 8 octets. */
  readonly fragmentOffset?: number;
  readonly options?: Buffer;
  /** When it shall not be the true length. */
  readonly totalLength?: number;
  readonly swapped?: boolean;
}

export function ipv4(fields: Ipv4Fields, payload: Buffer): Buffer {
  const options = fields.options ?? Buffer.alloc(0);
  const length = 20 + options.length + payload.length;
  const addresses = [hex(SOURCE_IPV4), hex(DESTINATION_IPV4)];
  if (fields.swapped === true) addresses.reverse();
  return Buffer.concat([
    Buffer.from([0x45 + options.length / 4, fields.tos ?? 0]),
    u16(fields.totalLength ?? length),
    u16(fields.id ?? 0),
    u16((fields.moreFragments === true ? 0x2000 : 0) | (fields.fragmentOffset ?? 0)),
    Buffer.from([fields.ttl ?? 64, fields.protocol, 0, 0]),
    ...addresses,
    options,
    payload,
  ]);
}

export interface Ipv6Fields {
  readonly nextHeader: number;
  readonly trafficClass?: number;
  readonly hopLimit?: number;
  readonly payloadLength?: number;
  readonly swapped?: boolean;
}

export function ipv6(fields: Ipv6Fields, payload: Buffer): Buffer {
  const trafficClass = fields.trafficClass ?? 0;
  const addresses = [hex(SOURCE_IPV6), hex(DESTINATION_IPV6)];
  if (fields.swapped === true) addresses.reverse();
  return Buffer.concat([
    Buffer.from([0x60 | (trafficClass >> 4), (trafficClass & 0xf) << 4, 0, 0]),
    u16(fields.payloadLength ?? payload.length),
    Buffer.from([fields.nextHeader, fields.hopLimit ?? 64]),
    ...addresses,
    payload,
  ]);
}

type Ports = readonly [source: number, destination: number];

export function tcp(flags: number, payload = 0, ports: Ports = [1000, 80]): Buffer {
  return Buffer.concat([
    u16(ports[0]),
    u16(ports[1]),
    Buffer.alloc(8),
    Buffer.from([0x50 | (flags >> 8), flags & 0xff]),
    Buffer.alloc(6 + payload),
  ]);
}

export function udp(payload: number, ports: Ports = [1000, 53]): Buffer {
  return Buffer.concat([u16(ports[0]), u16(ports[1]), u16(8 + payload), Buffer.alloc(2 + payload)]);
}

export function icmp(type: number, code: number, id: number): Buffer {
  return Buffer.concat([Buffer.from([type, code, 0, 0]), u16(id), u16(1), Buffer.alloc(56)]);
}

/** An IPv6 fragment header. */
export function fragmentHeader(next: number, offset: number, more: boolean, id: number): Buffer {
  const header = Buffer.alloc(8);
  header[0] = next;
  header.writeUInt16BE((offset << 3) | (more ? 1 : 0), 2);
  header.writeUInt32BE(id, 4);
  return header;
}
