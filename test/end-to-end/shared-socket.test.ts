// One socket, two processes, two peers: each flow keeps the process that sent it, although the
// socket has been taken over by the other one before the flow is exported.
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { startGenerator } from '../support/generators.js';
import { createNamespace } from '../support/network-namespace.js';
import { startProcflow } from '../support/procflow.js';
import { missingRequirement } from '../support/requirements.js';
import { createCgroup } from '../support/test-cgroup.js';

const PARENT_PORT = 7001;
const CHILD_PORT = 7002;
/** Longer than the grace of LATE_OWNER_GRACE_NS in bpf/process_owner.h. */
const PAUSE_MS = 300;

interface LiveFlow {
  readonly destinationTransportPort: number;
  readonly sourceProcess: { processId: number } | null;
}

t.test(
  'a flow keeps its sender when another takes the socket over',
  {
    skip: missingRequirement(),
  },
  async (t) => {
    const namespace = createNamespace(t);
    const cgroup = createCgroup(t);
    const where = ['-i', 'lo', '--netns', namespace.name, '--cgroup', cgroup];
    const live = startProcflow(t, ['live', '--json', '--idle-timeout', '60', ...where]);
    await live.line('err', /metering lo/);
    const ports = ['--parent-port', PARENT_PORT, '--port', CHILD_PORT];
    const to = ['--to', '127.0.0.1', ...ports];
    const program = startGenerator(t, { namespace, cgroup }, 'fork-and-send', ...to);
    const parent = await program.report('sent');
    await sleep(PAUSE_MS);
    program.write('\n');
    const child = await program.report('done');
    await program.success();
    await live.stop();

    const flows = live.out.map((line) => JSON.parse(line) as LiveFlow);
    const senders = [PARENT_PORT, CHILD_PORT].map(
      (port) =>
        flows.find((flow) => flow.destinationTransportPort === port)?.sourceProcess?.processId,
    );
    t.same(senders, [parent.pid, child.pid]);
  },
);
