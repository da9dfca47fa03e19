import t from 'tap';
import { largestProcesses } from '../../../src/daemon/control/process-traffic.js';
import { FLOW_RECORD, PROCESS_OWNER } from '../../../src/flow/flow-contract.gen.js';
import type { FlowRecordBatch } from '../../../src/flow/flow-source.js';

const F = FLOW_RECORD.fields;
const P = PROCESS_OWNER.fields;

interface Process {
  readonly pid: number;
  readonly start?: number;
  readonly comm?: string;
  readonly uid?: number;
}

interface Flow {
  readonly octets: number;
  readonly source?: Process;
  readonly destination?: Process;
}

async function* batchOf(...flows: readonly Flow[]): AsyncGenerator<FlowRecordBatch> {
  const bytes = Buffer.alloc(flows.length * FLOW_RECORD.size);
  flows.forEach((flow, i) => {
    const at = i * FLOW_RECORD.size;
    bytes.writeBigUInt64LE(BigInt(flow.octets), at + F.octets.offset);
    for (const side of ['source', 'destination'] as const) {
      const { pid = 0, start = 0, comm = 'curl', uid = 0 } = flow[side] ?? {};
      const owner = at + F[side].offset;
      bytes.writeUInt32LE(pid, owner + P.pid.offset);
      bytes.writeUInt32LE(uid, owner + P.uid.offset);
      bytes.writeBigUInt64LE(BigInt(start), owner + P.start_ns.offset);
      bytes.write(comm, owner + P.comm.offset);
    }
  });
  yield { bytes, count: flows.length };
}

const directory = {
  userName: (uid: number) => `user${uid}`,
  userNameBytes: () => Buffer.alloc(0),
  identity: () => undefined,
};

const numbers = (found: Awaited<ReturnType<typeof largestProcesses>>) =>
  found.map(({ pid, flows, octetsSent, octetsReceived }) => [
    ...[pid, flows, octetsSent, octetsReceived],
  ]);

t.test('flows add up by process, sent and received, the largest first', async (t) => {
  const flows = batchOf(
    { octets: 100, source: { pid: 1 } },
    { octets: 50, destination: { pid: 1 } },
    { octets: 1000, source: { pid: 2, comm: 'sshd', uid: 7 } },
    { octets: 5, source: { pid: 1 }, destination: { pid: 3 } },
    { octets: 9999 },
  );
  const found = await largestProcesses(flows, 2, directory);
  t.same(numbers(found), [
    [2, 1, 1000, 0],
    [1, 3, 105, 50],
  ]);
  t.match(found, [{ name: 'sshd', user: 'user7' }, { name: 'curl' }]);
});

t.test('a pid that was given again is another process, and so is another program', async (t) => {
  const flows = batchOf(
    { octets: 3, source: { pid: 1, start: 10 } },
    { octets: 2, source: { pid: 1, start: 20 } },
    { octets: 1, source: { pid: 1, start: 20, comm: 'sh' } },
    { octets: 4, source: { pid: 1, start: 10 } },
  );
  const found = await largestProcesses(flows, 10, directory);
  t.same(numbers(found), [
    [1, 2, 7, 0],
    [1, 1, 2, 0],
    [1, 1, 1, 0],
  ]);
});

t.test('a process that talks to itself has both', async (t) => {
  const self = { pid: 1 };
  const flows = batchOf({ octets: 3, source: self, destination: self });
  t.same(numbers(await largestProcesses(flows, 10, directory)), [[1, 2, 3, 3]]);
});
