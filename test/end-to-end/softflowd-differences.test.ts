// What softflowd and procflow report differently on purpose, with both of them: the list in
// docs/softflowd.md. A difference that is gone is a line there that is wrong.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { ETHERNET, writeCapture } from '../support/capture-frames.js';
import { ethernet, ipv4, udp } from '../support/packet-bytes.js';
import type { Teardown } from '../support/program.js';
import { missingRequirement } from '../support/requirements.js';
import { captureNamed, USUAL } from '../support/softflowd-lines.js';
import {
  COLLECTOR,
  linkProcflow,
  runToNfcapd,
  startLinked,
  type ReportedFlow,
  type Run,
} from '../support/softflowd.js';
import { receiveUdp } from '../support/stream-receivers.js';

const skip = missingRequirement('softflowd');
const UDP = 17;
const [V9_SOURCE_AT, V9_COUNT_AT, V9_HEADER_OCTETS] = [16, 2, 20];
const [IPFIX_SEQUENCE_AT, IPFIX_DOMAIN_AT] = [8, 12];

interface Both {
  readonly theirs: Run;
  readonly ours: Run;
}

async function runBoth(t: Teardown, ...args: readonly string[]): Promise<Both> {
  const line = [...USUAL, ...args];
  const ours = await runToNfcapd(t, linkProcflow(t, 'softflowd'), line);
  return { theirs: await runToNfcapd(t, 'softflowd', line), ours };
}

const TO = ['-n', COLLECTOR];

const inOrder = (flows: readonly ReportedFlow[]): [string, number][] =>
  flows.map(({ key, packets }): [string, number] => [key, packets]).toSorted();

t.test('fragments are of the flow of their first one', { skip }, async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'procflow-fragments-'));
  t.teardown(() => {
    rmSync(directory, { recursive: true });
  });
  const path = join(directory, 'fragments.pcap');
  const id = { protocol: UDP, id: 7 };
  const datagrams = [
    ipv4({ ...id, moreFragments: true }, udp(1472)),
    ipv4({ ...id, moreFragments: true, fragmentOffset: 185 }, Buffer.alloc(1480)),
    ipv4({ ...id, fragmentOffset: 370 }, Buffer.alloc(100)),
  ];
  const frames = datagrams.map((packet) => ethernet('ipv4', packet));
  writeCapture(
    path,
    ETHERNET,
    frames.map((bytes) => ({ bytes, wireOctets: bytes.length })),
  );
  const { theirs, ours } = await runBoth(t, ...TO, '-r', path);
  t.same(inOrder(theirs.flows), [
    ['17 10.0.0.1:0 > 10.0.0.2:0', 2],
    ['17 10.0.0.1:1000 > 10.0.0.2:53', 1],
  ]);
  t.same(inOrder(ours.flows), [['17 10.0.0.1:1000 > 10.0.0.2:53', 3]]);
});

t.test("each direction has its own times, within the connection's", { skip }, async (t) => {
  const line = ['-v', '10', '-A', 'milli', ...TO, '-r', captureNamed('dns')];
  const { theirs, ours } = await runBoth(t, ...line);
  for (const flow of ours.flows) {
    const their = theirs.flows.find(({ key }) => key === flow.key);
    const isWithin =
      their !== undefined && their.firstMs <= flow.firstMs && flow.lastMs <= their.lastMs;
    t.ok(isWithin, flow.key);
  }
  // A query and its answer are one packet each, which takes no time.
  const lasting = ({ firstMs, lastMs }: ReportedFlow): boolean => lastMs > firstMs;
  t.equal(theirs.flows.filter(lasting).length, theirs.flows.length);
  t.equal(ours.flows.filter(lasting).length, 0);
});

t.test('times in NetFlow v9 are those of the packets', { skip }, async (t) => {
  const file = ['-r', captureNamed('ntp')];
  const exact = await runBoth(t, '-v', '10', '-A', 'milli', ...TO, ...file);
  const { theirs, ours } = await runBoth(t, '-v', '9', ...TO, ...file);
  const first = ({ flows }: Run): number => Math.min(...flows.map(({ firstMs }) => firstMs));
  t.equal(first(ours), first(exact.ours));
  t.equal(first(ours), first(exact.theirs));
  t.not(first(theirs), first(exact.theirs));
});

t.test('IPFIX without -A has the start before the end', { skip }, async (t) => {
  const { theirs, ours } = await runBoth(t, '-v', '10', ...TO, '-r', captureNamed('ntp'));
  const isForward = ({ firstMs, lastMs }: ReportedFlow): boolean => firstMs <= lastMs;
  t.equal(theirs.flows.some(isForward), false);
  t.equal(ours.flows.every(isForward), true);
});

t.test('flows of a file end by their timeouts, in its own time', { skip }, async (t) => {
  const args = [...TO, '-t', 'udp=10', '-t', 'expint=1', '-r', captureNamed('netbios')];
  const { theirs, ours } = await runBoth(t, ...args);
  const packets = ({ flows }: Run): number => flows.reduce((sum, flow) => sum + flow.packets, 0);
  t.equal(packets(ours), packets(theirs));
  t.ok(ours.flows.length > theirs.flows.length, `${ours.flows.length} records`);
});

t.test('-s takes as many packets, and others of them', { skip }, async (t) => {
  const { theirs, ours } = await runBoth(t, ...TO, '-s', '4', '-r', captureNamed('ntp'));
  // nfdump multiplies by the rate that v5 tells: 14 of 56 packets.
  const packets = ({ flows }: Run): number => flows.reduce((sum, flow) => sum + flow.packets, 0);
  t.same([packets(theirs), packets(ours)], [56, 56]);
  t.strictNotSame(inOrder(theirs.flows), inOrder(ours.flows));
});

t.test('IPv6 that v5 cannot export is metered, and counted as that', { skip }, async (t) => {
  const { theirs, ours } = await runBoth(t, ...TO, '-r', captureNamed('bstats'));
  t.match(theirs.program.out.join('\n'), /Ignored packets: 417 \(417 non-IP/);
  t.match(ours.program.err.join('\n'), /METERED_PACKETS +417$/m);
  t.match(ours.program.err.join('\n'), /10 flow records that the format cannot express/);
});

/** The messages themselves, of softflowd and of procflow. */
async function messagesOfBoth(t: Teardown, ...args: readonly string[]) {
  const collect = async (path: string): Promise<readonly Buffer[]> => {
    const receiver = await receiveUdp(t, '127.0.0.1');
    const program = startLinked(t, path, [...USUAL, ...args, '-n', receiver.address]);
    await program.success();
    return receiver.messages();
  };
  return { theirs: await collect('softflowd'), ours: await collect(linkProcflow(t, 'softflowd')) };
}

t.test('sequence numbers of IPFIX begin at 0, and domains are told apart', { skip }, async (t) => {
  const line = ['-v', '10', '-r', captureNamed('tls')];
  const { theirs, ours } = await messagesOfBoth(t, ...line);
  const first = (messages: readonly Buffer[], at: number): number | undefined =>
    messages[0]?.readUInt32BE(at);
  t.not(first(theirs, IPFIX_SEQUENCE_AT), 0);
  t.equal(first(ours, IPFIX_SEQUENCE_AT), 0);
  t.equal(first(theirs, IPFIX_DOMAIN_AT), 0);
  t.not(first(ours, IPFIX_DOMAIN_AT), 0);
});

t.test("the count of v9's header has templates in it", { skip }, async (t) => {
  const { theirs, ours } = await messagesOfBoth(t, '-v', '9', '-r', captureNamed('tls'));
  const templateSets = (message: Buffer): number => {
    let sets = 0;
    for (let at = V9_HEADER_OCTETS; at + 4 <= message.length; at += message.readUInt16BE(at + 2)) {
      if (message.readUInt16BE(at) <= 1) sets++;
    }
    return sets;
  };
  const [theirFirst = Buffer.alloc(0)] = theirs;
  // Four templates, a template of options and its record, and 24 flows: softflowd says 24.
  t.equal(templateSets(theirFirst), 5);
  t.equal(theirFirst.readUInt16BE(V9_COUNT_AT), 24);
  const onlyTemplates = ours.filter((message) => templateSets(message) > 0);
  t.ok(onlyTemplates.length > 0);
  for (const message of onlyTemplates) t.ok(message.readUInt16BE(V9_COUNT_AT) > 0);
  t.not(ours[0]?.readUInt32BE(V9_SOURCE_AT), 0);
});
