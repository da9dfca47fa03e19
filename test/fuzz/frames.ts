// The frames from which hostile ones are made: those of the captures, and those that no capture has.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { CaptureParser } from '../../src/capture-file/capture-parser.js';
import { CAPTURES, ETHERNET } from '../support/capture-frames.js';
import { ODD_FRAMES } from '../support/odd-frames.js';
import { ethernet, icmp, ipv4, ipv6, tcp, udp } from '../support/packet-bytes.js';
import type { Mutable, MutateOptions } from './mutate.js';

/** What the kernel takes in a test run, on machines with pages of 4096 octets. */
export const MAX_FRAME_OCTETS = 3500;
/** A link layer's header, and one more. */
const MIN_FRAME_OCTETS = 15;
/** Of a capture: the first ones, which are those that differ. */
const FRAMES_OF_CAPTURE = 40;
/** Ethernet, two tags, IPv6 with an extension header, TCP. */
const HEADER_OCTETS = 96;
const TCP = 6;
const UDP = 17;

export function captureFiles(): readonly Buffer[] {
  const names = readdirSync(CAPTURES).filter((name) => name.endsWith('.pcap'));
  return names.sort().map((name) => readFileSync(join(CAPTURES, name)));
}

/** Those of Ethernet. */
function framesOf(file: Buffer): Buffer[] {
  const parser = new CaptureParser();
  parser.push(file);
  const frames: Buffer[] = [];
  for (
    let frame = parser.next();
    frame !== undefined && frames.length < FRAMES_OF_CAPTURE;
    frame = parser.next()
  ) {
    const { bytes, start, end, linkType } = frame;
    if (linkType === ETHERNET) frames.push(Buffer.from(bytes.subarray(start, end)));
  }
  return frames;
}

/** Of few flows, so that packets of known flows are many. */
const PLAIN_FRAMES = [0, 1, 100, 1400].flatMap((payload) => [
  ethernet('ipv4', ipv4({ protocol: UDP }, udp(payload))),
  ethernet('ipv4', ipv4({ protocol: TCP }, tcp(0x10, payload))),
  ethernet('ipv6', ipv6({ nextHeader: UDP }, udp(payload))),
  ethernet('ipv6', ipv6({ nextHeader: TCP }, tcp(0x18, payload))),
]);

/** Errors, which quote a packet. */
const ICMP_FRAMES = [3, 5, 11, 12].flatMap((type) => {
  const quote = Buffer.concat([icmp(type, 0, 0).subarray(0, 8), ipv4({ protocol: UDP }, udp(8))]);
  const quote6 = Buffer.concat([
    icmp(type, 0, 0).subarray(0, 8),
    ipv6({ nextHeader: UDP }, udp(8)),
  ]);
  return [
    ethernet('ipv4', ipv4({ protocol: 1, swapped: true }, quote)),
    ethernet('ipv6', ipv6({ nextHeader: 58, swapped: true }, quote6)),
  ];
});

export function frameCorpus(): readonly Buffer[] {
  const found = captureFiles().flatMap(framesOf);
  return [...found, ...ODD_FRAMES, ...PLAIN_FRAMES, ...PLAIN_FRAMES, ...ICMP_FRAMES].map((frame) =>
    frame.subarray(0, MAX_FRAME_OCTETS),
  );
}

export function frameChanges(others: readonly Buffer[]): MutateOptions {
  return { others, head: HEADER_OCTETS, least: MIN_FRAME_OCTETS, most: MAX_FRAME_OCTETS };
}

/** Test runs of newer kernels want a whole IP header behind its EtherType. Behind a tag it may be cut. */
export function isTakenByKernel({ bytes, length }: Mutable): boolean {
  const etherType = bytes.readUInt16BE(12);
  if (etherType === 0x0800) return length >= 14 + 20;
  return etherType !== 0x86dd || length >= 14 + 40;
}
