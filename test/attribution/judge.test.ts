// The judge itself: whatever is wrong with a record must show in the table.
import t from 'tap';
import { ofPort, UDP, type Case, type Count, type Truth } from './case.js';
import { judge } from './judge.js';
import type { ExportedFlow, NamedProcess } from './meters.js';
import type { PairCounts } from './wire-counters.js';

const WHO = { pid: 23, comm: 'client', start_ms: 1_000_000 };
const RIGHT: NamedProcess = { name: 'client', pid: 23, startMs: 1_000_007, method: 'socket' };
const FLOW: ExportedFlow = {
  source: '10.99.1.1',
  destination: '10.99.1.2',
  sourcePort: 4000,
  destinationPort: 53,
  protocol: UDP,
  packets: 2,
  octets: 100,
  icmpType: undefined,
  icmpId: undefined,
  sourceProcess: RIGHT,
  destinationProcess: null,
};
const TRUTH: Truth = {
  who: WHO,
  owns: ofPort(UDP, 4000),
  sent: { packets: 2, octets: 100 },
};
const CASE: Case = { name: 'a case', run: async () => [TRUTH] };
const WIRE = new Map([['10.99.1.1 10.99.1.2', { packets: 2, octets: 100 }]]);

const NO_PACKETS = new Map<string, Count>();

/** Verdict and reasons of the case, whose records are these. */
function verdict(
  flows: readonly ExportedFlow[],
  truths: readonly Truth[] = [TRUTH],
  theCase = CASE,
  socketless?: PairCounts,
): string {
  const performance = { number: 1, case: theCase, family: 'ipv4', truths } as const;
  const { rows } = judge(
    [performance],
    { exports: [{ meter: 'live', flows }], wire: WIRE, socketless: socketless ?? NO_PACKETS },
    socketless === undefined ? 'interface' : 'sockets',
  );
  const [row] = rows;
  return `${row?.verdict}: ${row?.reasons.join('; ')}`;
}

function named(process: Partial<NamedProcess>): readonly ExportedFlow[] {
  return [{ ...FLOW, sourceProcess: { ...RIGHT, ...process } }];
}

t.test('a case passes when every record is right', async (t) => {
  t.equal(verdict([FLOW]), 'PASS: ');
  const half = { ...FLOW, packets: 1, octets: 50 };
  t.equal(verdict([half, half]), 'PASS: ', 'in several records');
});

for (const { name, flows, truths, expected } of [
  {
    name: 'another pid',
    flows: named({ pid: 24 }),
    expected: /is "client" 24 .*, not "client" 23/,
  },
  { name: 'another name', flows: named({ name: 'other' }), expected: /is "other" 23/ },
  {
    name: 'another start',
    flows: named({ startMs: 1_000_100 }),
    expected: /23 1000100 .*, not/,
  },
  { name: 'another method', flows: named({ method: 'listener' }), expected: /not by socket/ },
  { name: 'no process', flows: named({ name: '', pid: 0 }), expected: /is "" 0/ },
  { name: 'no record', flows: [], expected: /no flow/ },
  { name: 'a record too many', flows: [FLOW, FLOW], expected: /sent 2 packets.* exported are 4/ },
  { name: 'octets too few', flows: [{ ...FLOW, octets: 99 }], expected: /100 octets on the wire/ },
  { name: 'nobody’s record', flows: [{ ...FLOW, sourcePort: 1 }], expected: /which 0 truths/ },
  { name: 'two owners', flows: [FLOW], truths: [TRUTH, TRUTH], expected: /which 2 truths/ },
  {
    name: 'a process where the kernel was it',
    flows: [FLOW],
    truths: [{ ...TRUTH, who: 'kernel' as const }],
    expected: /not kernel/,
  },
  {
    name: 'the kernel, found as unknown',
    flows: named({ name: '', pid: 0, method: 'unknown' }),
    truths: [{ ...TRUTH, who: 'kernel' as const }],
    expected: /not by kernel/,
  },
  {
    name: 'a process at the end that is elsewhere',
    flows: [{ ...FLOW, destinationProcess: RIGHT }],
    expected: /10.99.1.2:53 <- 10.99.1.1:4000 is "client".* which 0 truths/,
  },
] as const) {
  t.test(`a case fails for ${name}`, async (t) => {
    t.match(verdict(flows, truths), expected);
    t.match(verdict(flows, truths), /^FAIL: live: /);
  });
}

t.test('a record that no case claims is not lost', async (t) => {
  const stray = { ...FLOW, source: '192.0.2.1', destination: '192.0.2.2' };
  const { rows, totals } = judge(
    [],
    { exports: [{ meter: 'v9', flows: [stray] }], wire: WIRE, socketless: NO_PACKETS },
    'interface',
  );
  t.equal(rows.at(-1)?.verdict, 'FAIL');
  t.match(rows.at(-1)?.reasons, [/192.0.2.1:4000 -> 192.0.2.2:53 is "client".* which 0 truths/]);
  t.match(totals, [{ meter: 'v9', attributed: 0, wrong: 2 }]);
});

/** The verdict at sockets where one of two packets of 50 octets is in no record. */
function verdictWithout(arrivedFrom: string, ...counts: readonly Count[]): string {
  const socketless = new Map(counts.map((count) => [arrivedFrom, count]));
  const truth = { ...TRUTH, sent: { packets: 1, octets: 50 } };
  return verdict([{ ...FLOW, packets: 1, octets: 50 }], [truth], CASE, socketless);
}

t.test('at sockets a packet may be missing only for one without a socket', async (t) => {
  const [here, there] = ['10.99.1.1 10.99.1.2', '10.99.1.2 10.99.1.1'];
  t.match(verdictWithout(here), /^FAIL: live: .* on the wire, exported are 1 packets/);
  t.equal(verdictWithout(here, { packets: 1, octets: 50 }), 'PASS: ', 'itself');
  t.match(verdictWithout(here, { packets: 1, octets: 49 }), /^FAIL/, 'a smaller one');
  t.equal(verdictWithout(there, { packets: 1, octets: 1500 }), 'PASS: ', 'the answer to one');
  t.match(verdictWithout('10.99.1.2 10.99.1.3', { packets: 1, octets: 50 }), /^FAIL/, 'another');
});
