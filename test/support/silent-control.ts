// A session that can be asked, without a session: its answers are always the same.
import type {
  FlowsNow,
  MeterControl,
  SessionStatistics,
} from '../../src/daemon/control/meter-control.js';
import { METER_COUNTER } from '../../src/flow/flow-contract.gen.js';
import type { MeterCounters } from '../../src/flow/flow-source.js';
import { timeoutsOf } from './timeouts.js';

export const STATISTICS: SessionStatistics = {
  sinceMs: Date.UTC(2026, 10, 21, 23, 28, 45, 678),
  activeFlows: 2,
  isGathering: true,
  flows: {
    flows: 6,
    reasons: {
      ...{ tcp: 1, 'tcp.rst': 2, 'tcp.fin': 3, udp: 4, icmp: 5, general: 6 },
      ...{ maxlife: 7, maxflows: 8, flushed: 9 },
    },
    octets: { least: 112, average: 110_772.3, most: 261_758 },
    packets: { least: 2, average: 1891.3, most: 3000 },
    durationS: { least: 0, average: 0.02, most: 0.03 },
    protocols: [
      {
        protocol: 1,
        flows: 1,
        octets: 174_000,
        packets: 3000,
        averageLifeS: 0.03,
        longestLifeS: 0.03,
      },
      {
        protocol: 58,
        flows: 1,
        octets: 261_758,
        packets: 2671,
        averageLifeS: 0.02,
        longestLifeS: 0.02,
      },
      { protocol: 200, flows: 1, octets: 1, packets: 1, averageLifeS: 0, longestLifeS: 0 },
    ],
  },
  deleted: { records: 0, packets: 0, octets: 0 },
  recordsNotWritten: 0,
  counters: {
    ...(Object.fromEntries(Object.keys(METER_COUNTER).map((name) => [name, 0])) as MeterCounters),
    METERED_PACKETS: 11_348,
    NON_IP_FRAMES: 3,
    MALFORMED_PACKETS: 1,
  },
  collectors: [],
};

export const SILENT: MeterControl = {
  statistics: () => STATISTICS,
  timeouts: () => ({
    timeouts: timeoutsOf(15_500),
    sweepIntervalMs: 250,
  }),
  expireAll: async () => 6,
  deleteAll: async () => ({ records: 14, packets: 23, octets: 1840 }),
  flows: () => flowsOf([]),
  stopGather: () => undefined,
  startGather: () => undefined,
  sendTemplates: () => [
    { destination: 'udp://192.0.2.1:9995', sent: 'now' },
    { destination: 'tcp://192.0.2.2:4739', sent: 'once a session' },
    { destination: 'udp://192.0.2.3:2055', sent: 'no templates' },
  ],
  changeDebugLevel: (step) => 1 + step,
  shutdown: () => undefined,
  exit: () => undefined,
  interfaces: () => [
    { index: 1, name: 'lo', description: '', isMetered: false },
    { index: 2, name: 'eth0', description: 'up\u001b[31m', isMetered: true },
  ],
  topProcesses: async (count) =>
    [
      { pid: 12, name: 'curl', user: 'alice', flows: 2, octetsSent: 100, octetsReceived: 20_000 },
      { pid: 13, name: 'a\nb', user: 'bob', flows: 1, octetsSent: 1, octetsReceived: 2 },
    ].slice(0, count),
  reload: () => ({ destinations: ['udp://192.0.2.1:9995'], templates: [] }),
};

export function flowsOf(records: readonly Buffer[]): FlowsNow {
  return {
    timeouts: timeoutsOf(15_000, 60_000),
    sweepIntervalMs: 1000,
    batches: (async function* () {
      for (const bytes of records) yield { bytes, count: 1 };
    })(),
    bootEpoch: { seconds: 1_700_000_000, nanoseconds: 0 },
    bootMs: 20_000,
    directory: {
      userName: (uid) => `user${uid}`,
      userNameBytes: () => Buffer.alloc(0),
      identity: () => undefined,
    },
    nonProcessNames: { kernel: '(kernel)', forwarded: '(forwarded)', unknown: '(unknown)' },
  };
}
