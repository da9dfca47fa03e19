// One procflow that exports the same flows to collectors in every format, profile and transport at
// once, and what each of them got.
import type { DecodedMessage } from './decoder/decoded-message.js';
import { startDefaultNfcapd } from './default-nfcapd.js';
import { decodeExport } from './exported-messages.js';
import { makeTraffic, type Conversation } from './matrix-traffic.js';
import { bringUp, createNamespacePair, takeDown } from './network-namespace.js';
import { startNfacctd, toNfacctdFlow, type NfacctdFlow } from './nfacctd.js';
import { sumTotals, type NfcapdTotals } from './nfcapd.js';
import { startExport, type Summary } from './procflow.js';
import type { Teardown } from './program.js';
import { nfdumpFlows, type FlowPart, type StreamFlow } from './stream-flows.js';
import {
  receiveFile,
  receiveTcp,
  receiveTls,
  receiveUdp,
  receiveUnix,
  type StreamReceiver,
} from './stream-receivers.js';
import { createCgroup } from './test-cgroup.js';

export interface Format {
  readonly name: string;
  readonly version: 1 | 5 | 9 | 10;
  /** In procflow's -n. */
  readonly parameters: string;
  /** What the format tells besides key and counters. */
  readonly parts: readonly FlowPart[];
}

/** What was received over one transport. */
export interface Stream {
  readonly format: Format;
  readonly destination: string;
  readonly messages: readonly Buffer[];
  readonly decoded: readonly DecodedMessage[];
  /** Of an IPFIX file. */
  readonly file?: string;
}

export interface NfcapdResult {
  readonly format: Format;
  readonly flows: readonly StreamFlow[];
  readonly totals: NfcapdTotals;
  /** Datagrams that found no room in its socket. */
  readonly drops: number;
}

export interface NfacctdResult {
  readonly format: Format;
  readonly flows: readonly NfacctdFlow[];
  readonly complaints: readonly string[];
}

export interface CollectorMatrix {
  readonly summary: Summary;
  readonly conversations: readonly Conversation[];
  /** The first one is IPFIX over UDP, profile process. */
  readonly streams: readonly Stream[];
  readonly microseconds: Stream;
  readonly nanoseconds: Stream;
  /** Of the profiles process and full. */
  readonly biflows: readonly Stream[];
  readonly nfcapd: readonly NfcapdResult[];
  readonly nfacctd: readonly NfacctdResult[];
}

function templated(version: 9 | 10, profile: string): Format {
  return {
    name: `${version === 9 ? 'NetFlow v9' : 'IPFIX'} ${profile}`,
    version,
    parameters: `version=${version}&profile=${profile}`,
    parts: profile === 'standard' ? ['times', 'localName'] : ['times', 'localName', 'processes'],
  };
}

function fixed(version: 1 | 5): Format {
  return {
    name: `NetFlow v${version}`,
    version,
    parameters: `version=${version}`,
    parts: ['times'],
  };
}

const IPFIX = templated(10, 'process');
const IPFIX_FULL = templated(10, 'full');
const NETFLOW9 = templated(9, 'process');
const FORMATS = [
  ...[fixed(1), fixed(5)],
  ...[templated(9, 'standard'), NETFLOW9, templated(9, 'full')],
  ...[IPFIX, templated(10, 'standard'), IPFIX_FULL],
];

/** A collector before and after procflow has run. */
interface Started<Result> {
  readonly address: string;
  readonly parameters: string;
  readonly finish: () => Promise<Result>;
}

export async function meterMatrix(t: Teardown): Promise<CollectorMatrix> {
  const streams = await startStreams(t);
  const times = await Promise.all(
    ['us', 'ns'].map((unit) =>
      startStream(withParameter(IPFIX, `time=${unit}`), receiveUdp(t, '127.0.0.1')),
    ),
  );
  const biflows = await Promise.all(
    [IPFIX, IPFIX_FULL].map((format) =>
      startStream(withParameter(format, 'biflow'), receiveUdp(t, '127.0.0.1')),
    ),
  );
  const nfcapd = await Promise.all(FORMATS.map((format) => startNfdump(t, format)));
  // pmacct knows no v1.
  const known = FORMATS.filter(({ version }) => version !== 1);
  const nfacctd = await Promise.all(known.map((format) => startPmacct(t, format)));
  const all = [...streams, ...times, ...biflows, ...nfcapd, ...nfacctd];
  const metered = await meter(t, all.map(destinationOf));
  const [microseconds, nanoseconds] = await finish(times);
  if (microseconds === undefined || nanoseconds === undefined) throw new Error('unreachable');
  return {
    ...metered,
    streams: await finish(streams),
    biflows: await finish(biflows),
    ...{ microseconds, nanoseconds },
    nfcapd: await finish(nfcapd),
    nfacctd: await finish(nfacctd),
  };
}

function withParameter(format: Format, parameter: string): Format {
  const { name, parameters } = format;
  return { ...format, name: `${name}, ${parameter}`, parameters: `${parameters}&${parameter}` };
}

function destinationOf({ address, parameters }: Started<unknown>): string {
  return `${address}${address.includes('?') ? '&' : '?'}${parameters}`;
}

async function finish<Result>(started: readonly Started<Result>[]): Promise<Result[]> {
  return Promise.all(started.map((one) => one.finish()));
}

async function startStreams(t: Teardown): Promise<Started<Stream>[]> {
  const file = receiveFile(t);
  const others = FORMATS.filter((format) => format !== IPFIX);
  return Promise.all([
    ...[IPFIX, ...others].map((format) => startStream(format, receiveUdp(t, '127.0.0.1'))),
    ...[IPFIX, NETFLOW9].map((format) => startStream(format, receiveUdp(t, '::1'))),
    startStream(IPFIX, receiveTcp(t), { isStream: true }),
    startStream(IPFIX_FULL, receiveTls(t), { isStream: true }),
    ...[IPFIX_FULL, NETFLOW9].map((format) => startStream(format, receiveUnix(t))),
    startStream(IPFIX, Promise.resolve(file), { isStream: true, file: file.file }),
  ]);
}

async function startStream(
  format: Format,
  starting: Promise<StreamReceiver>,
  options: { readonly isStream?: boolean; readonly file?: () => string } = {},
): Promise<Started<Stream>> {
  const { address, messages } = await starting;
  return {
    ...{ address, parameters: format.parameters },
    finish: async () => {
      const received = await messages();
      const [place = ''] = address.split('?');
      return {
        format,
        destination: place.includes('://') ? place : `udp://${place}`,
        messages: received,
        decoded: decodeExport(received, options),
        ...(options.file !== undefined && { file: options.file() }),
      };
    },
  };
}

async function startNfdump(t: Teardown, format: Format): Promise<Started<NfcapdResult>> {
  const nfcapd = await startDefaultNfcapd(t);
  return {
    ...{ address: `127.0.0.1:${nfcapd.port}`, parameters: format.parameters },
    finish: async () => {
      const { drops, lines } = await nfcapd.stop();
      const flows = nfdumpFlows(nfcapd.nfdump('-o', 'json'));
      return { format, flows, drops, totals: sumTotals(lines) };
    },
  };
}

async function startPmacct(t: Teardown, format: Format): Promise<Started<NfacctdResult>> {
  const { version, parameters } = format;
  if (version === 1) throw new Error('nfacctd does not know NetFlow v1');
  const nfacctd = await startNfacctd(t, { version });
  return {
    ...{ address: `127.0.0.1:${nfacctd.port}`, parameters },
    finish: async () => {
      const flows = (await nfacctd.stop()).map(toNfacctdFlow);
      return { format, flows, complaints: nfacctd.complaints() };
    },
  };
}

/** @param destinations procflow's -n */
async function meter(
  t: Teardown,
  destinations: readonly string[],
): Promise<Pick<CollectorMatrix, 'summary' | 'conversations'>> {
  const cgroup = createCgroup(t);
  const pair = createNamespacePair(t);
  const exporter = await startExport(t, {
    namespace: pair.a,
    interfaces: [pair.a.interfaceName, 'lo'],
    cgroup,
    destinations,
  });
  bringUp(pair);
  const [a, b] = [pair.a, pair.b].map((namespace) => ({ namespace, cgroup }));
  if (a === undefined || b === undefined) throw new Error('unreachable');
  const conversations = await makeTraffic(t, { a, b, pair });
  takeDown(pair);
  return { summary: await exporter.stop(), conversations };
}
