// What the kernel tells of its maps and links.
import { getSystemErrorName } from 'node:util';
import { BpfError } from '../bpf-error.js';
import type { Libbpf } from '../native/libbpf.js';

/** Of struct bpf_map_info (linux/bpf.h), all of which are u32. */
const MAP_INFO = {
  octets: 88,
  type: 0,
  id: 4,
  keyOctets: 8,
  valueOctets: 12,
  maxEntries: 16,
  flags: 20,
};
/** Of struct bpf_link_info: what its union begins with depends on the type. */
const LINK_INFO = { octets: 64, type: 0, programId: 8, union: 16 };
/** enum bpf_link_type */
const LINK_TYPE = { cgroup: 3, tcx: 11 };

export interface MapInfo {
  readonly type: number;
  /** Of this map among all of the kernel's. */
  readonly id: number;
  readonly keyOctets: number;
  readonly valueOctets: number;
  readonly maxEntries: number;
  readonly flags: number;
}

/** Where a link goes: gone where what it was attached to is gone. */
export type LinkTarget =
  | { readonly kind: 'interface'; readonly interfaceIndex: number }
  | { readonly kind: 'cgroup'; readonly cgroupId: bigint }
  | { readonly kind: 'gone' | 'other' };

/** @throws BpfError */
export function readMapInfo(libbpf: Libbpf, fd: number): MapInfo {
  const info = readInfo(libbpf, fd, MAP_INFO.octets, 'ask for a map');
  const number = (at: number): number => info.readUInt32LE(at);
  return {
    type: number(MAP_INFO.type),
    id: number(MAP_INFO.id),
    keyOctets: number(MAP_INFO.keyOctets),
    valueOctets: number(MAP_INFO.valueOctets),
    maxEntries: number(MAP_INFO.maxEntries),
    flags: number(MAP_INFO.flags),
  };
}

/** @throws BpfError */
export function readLinkTarget(libbpf: Libbpf, fd: number): LinkTarget {
  const info = readInfo(libbpf, fd, LINK_INFO.octets, 'ask for a link');
  switch (info.readUInt32LE(LINK_INFO.type)) {
    case LINK_TYPE.tcx: {
      const interfaceIndex = info.readUInt32LE(LINK_INFO.union);
      return interfaceIndex === 0 ? { kind: 'gone' } : { kind: 'interface', interfaceIndex };
    }
    case LINK_TYPE.cgroup: {
      const cgroupId = info.readBigUInt64LE(LINK_INFO.union);
      return cgroupId === 0n ? { kind: 'gone' } : { kind: 'cgroup', cgroupId };
    }
    default:
      return { kind: 'other' };
  }
}

function readInfo(libbpf: Libbpf, fd: number, octets: number, operation: string): Buffer {
  const info = Buffer.alloc(octets);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(octets);
  const result = libbpf.objectInfo(fd, info, length);
  if (result < 0) throw new BpfError(getSystemErrorName(result), operation, '');
  return info;
}
