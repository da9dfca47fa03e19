// A look at the flow cache while a sweep of it stands still, because a collector does not take its records.
import t from 'tap';
import { FLOW_RECORD } from '../../src/flow/flow-contract.gen.js';
import { FlowRecord } from '../../src/flow/flow-record.js';
import type { FlowRecordBatch } from '../../src/flow/flow-source.js';
import { ethernet, ipv4, udp } from '../support/packet-bytes.js';
import { cannotLoadPrograms, openPacketLab, type PacketLab } from '../support/packet-lab.js';

const skip = cannotLoadPrograms();
/** Some reads of a pass. */
const FLOWS = 8000;
/**
 * The kernel goes on in the middle of a bucket by the number of its elements, so where a sweep has taken some
 * of them, others are passed over until the next pass: at most in the bucket where a read ends.
 */
const READS = 20;

function labWithFlows(): PacketLab {
  const lab = openPacketLab(16_384);
  for (let port = 1; port <= FLOWS; port++) {
    lab.run({ bytes: ethernet('ipv4', ipv4({ protocol: 17 }, udp(4, [port, 53]))) });
  }
  return lab;
}

function portsOf({ bytes, count }: FlowRecordBatch): number[] {
  const view = new FlowRecord();
  return Array.from({ length: count }, (_, i) => view.at(bytes, i * FLOW_RECORD.size).sourcePort);
}

/** Of a pass from where it is to its end. */
async function rest(batches: AsyncIterator<FlowRecordBatch>): Promise<number[]> {
  const ports: number[] = [];
  for (;;) {
    const { done, value } = (await batches.next()) as IteratorResult<FlowRecordBatch, undefined>;
    if (done === true) return ports;
    ports.push(...portsOf(value));
  }
}

async function leftOver(lab: PacketLab): Promise<number[]> {
  const ports: number[] = [];
  while (lab.cache.flowCount() > 0) ports.push(...(await rest(iterate(lab.cache.sweep('all')))));
  return ports;
}

const iterate = (batches: AsyncIterable<FlowRecordBatch>) => batches[Symbol.asyncIterator]();

t.test(
  'a look at the flows waits for no sweep, and neither spoils the other',
  { skip },
  async (t) => {
    const lab = labWithFlows();
    t.teardown(lab.close);
    const sweep = iterate(lab.cache.sweep('all'));
    const first = portsOf((await sweep.next()).value as FlowRecordBatch);
    const isPart = first.length > 0 && first.length < FLOWS;
    t.ok(isPart, 'the sweep is in the middle');

    const look = iterate(lab.cache.flows());
    const seenFirst = portsOf((await look.next()).value as FlowRecordBatch);
    const second = portsOf((await sweep.next()).value as FlowRecordBatch);
    const seen = [...seenFirst, ...(await rest(look))];
    const swept = [...first, ...second, ...(await rest(sweep))];

    swept.push(...(await leftOver(lab)));
    t.equal(new Set(swept).size, FLOWS, 'sweeps take every flow');
    t.equal(swept.length, FLOWS, 'once');
    t.equal(new Set(seen).size, seen.length, 'the look sees none twice');
    t.notOk(
      first.some((port) => seen.includes(port)),
      'and none that was gone',
    );
    const wasThere = swept.filter((port) => !first.includes(port) && !second.includes(port));
    const missed = wasThere.filter((port) => !seen.includes(port));
    t.ok(
      missed.length <= READS,
      `and those that were there all the time, but for ${missed.length}`,
    );
    t.equal(lab.cache.flowCount(), 0);
  },
);

t.test('one sweep waits for the other', { skip }, async (t) => {
  const lab = labWithFlows();
  t.teardown(lab.close);
  const sweep = iterate(lab.cache.sweep('all'));
  const first = portsOf((await sweep.next()).value as FlowRecordBatch);
  const other = iterate(lab.cache.sweep('all'));
  const [left, others] = await Promise.all([rest(sweep), rest(other)]);
  const all = [...first, ...left, ...others, ...(await leftOver(lab))];
  t.equal(all.length, FLOWS);
  t.equal(new Set(all).size, FLOWS);
  t.ok(others.length <= READS, 'the second finds what the first has missed');
});

t.test('who looks at a cache that is closed gets an error', { skip }, async (t) => {
  const lab = labWithFlows();
  const look = iterate(lab.cache.flows());
  await look.next();
  lab.close();
  await t.rejects(rest(look), { name: 'BpfError', code: 'ECANCELED' });
});
