// What a case of the attribution table is made of: see README.md beside this file.
import type { Place } from '../support/generators.js';
import type { Program, Report, Teardown } from '../support/program.js';

export const FAMILIES = ['ipv4', 'ipv6'] as const;
export type Family = (typeof FAMILIES)[number];

export const TCP = 6;
export const UDP = 17;

/** As `procflow live --json` names them. */
export type Method =
  | 'socket'
  | 'snapshot'
  | 'listener'
  | 'reverseFlow'
  | 'icmpId'
  | 'icmpError'
  | 'kernel'
  | 'forwarded';

/** The only reasons for which a case may be skipped: each is asked of the kernel. */
export const SKIP_REASONS = {
  sctp: 'this kernel has no SCTP',
  mptcp: 'this kernel has no MPTCP',
  ioUring: 'this kernel has no io_uring',
  vlan: 'this kernel has no VLAN interfaces (8021q)',
  tun: 'this kernel has no tun devices',
  udpLite: 'this kernel has no UDP-Lite',
  vxlan: 'this kernel has no VXLAN',
  translation: 'this kernel has no address translation by nftables',
} as const;
export type SkipReason = keyof typeof SKIP_REASONS;

/** A process; the kernel itself; or nobody, because the packet only passes through this host. */
export type Who =
  | (Pick<Report, 'pid' | 'comm' | 'start_ms'> & Partial<Pick<Report, 'uid'>>)
  | 'kernel'
  | 'forwarded';

/** That end of a flow which is on the metered host. A flow on loopback has two. */
export interface FlowEnd {
  readonly protocol: number;
  /** This end's. */
  readonly address: string;
  readonly port: number;
  readonly peerAddress: string;
  readonly peerPort: number;
  /** Whether this end sent the packets. */
  readonly isSender: boolean;
  /** Undefined for other protocols. */
  readonly icmpType: number | undefined;
  /** Identifier of an echo; undefined where the export does not carry it. */
  readonly icmpId: number | undefined;
  readonly packets: number;
  readonly octets: number;
}

export interface Count {
  readonly packets: number;
  /** IP level. */
  readonly octets: number;
}

/** To whom flows belong, as the generators know it themselves. */
export interface Truth {
  readonly who: Who;
  /** Which ends of the case's flows are theirs. Each end belongs to exactly one truth. */
  readonly owns: (end: FlowEnd) => boolean;
  /** How it may have been found; default: socket, or what `who` is. */
  readonly methods?: readonly Method[];
  /** What they sent and received in all, where the generators can tell. */
  readonly sent?: Count;
  readonly received?: Count;
  /** A truth that may have no flow at all, for instance a reset that is not always sent. */
  readonly isOptional?: boolean;
}

/** Where a case plays. Nobody else uses its addresses, so each flow belongs to one case. */
export interface Scene {
  readonly t: Teardown;
  readonly family: Family;
  /** The metered host, and its peer on the wire. */
  readonly here: Place;
  readonly there: Place;
  readonly hereAddress: string;
  readonly thereAddress: string;
  /** A second address of the peer. */
  readonly otherThereAddress: string;
  /** An address of the metered host on its loopback interface. */
  readonly loopbackAddress: string;
  readonly interfaceName: string;
  /** A process name that no other case has; `role` has up to 9 characters. */
  readonly comm: (role: string) => string;
  /**
   * Resolves when packets are metered. Only for cases with `isEarly`: what they do before happens
   * before procflow starts.
   */
  readonly metering: () => Promise<void>;
  /** Resolves when a record with this text has been printed: the flow has left the cache. */
  readonly record: (pattern: RegExp) => Promise<void>;
}

export interface Case {
  readonly name: string;
  /** Default: both. */
  readonly families?: readonly Family[];
  /** Begins before procflow does; it must wait for scene.metering(). */
  readonly isEarly?: boolean;
  /**
   * Where procflow meters at sockets: its packets are not seen, because they have no socket of a
   * process; or some are not counted as they were on the wire. Default: as at interfaces.
   */
  readonly atSockets?: 'not seen' | 'not counted';
  /** Waits most of its time: it plays beside the others. */
  readonly isSlow?: boolean;
  /** Why this kernel cannot run it. */
  readonly missing?: () => SkipReason | undefined;
  /** Makes the traffic, waits for its end, and says who it was. */
  readonly run: (scene: Scene) => Promise<readonly Truth[]>;
}

/** Every flow of this port of the metered host. */
export function ofPort(protocol: number, port: unknown): Truth['owns'] {
  return (end) => end.protocol === protocol && end.port === port;
}

/** Every flow of the metered host with this port of a peer. */
export function ofPeerPort(protocol: number, port: unknown): Truth['owns'] {
  return (end) => end.protocol === protocol && end.peerPort === port;
}

/** What a generator says of itself in packets and octets. */
export function counted(report: Report): Count {
  return { packets: Number(report.packets), octets: Number(report.octets) };
}

/** The last report of a program that ended well. */
export async function lastReport(program: Program): Promise<Report> {
  const last = (await program.success()).at(-1);
  if (last === undefined) throw new Error('a generator reported nothing');
  return last;
}
