// procflow's empty twin at all of procflow's hooks, until it is ended: what these cost by themselves.
// Usage: node build/bench/empty-twin/empty-hooks.js CGROUP [INTERFACE]
// Without an interface: at the sockets of the cgroup.
import {
  attachInterface,
  probeAttachMode,
  requireInterface,
} from '../../src/bpf-loader/interface-attachment.js';
import { loadLibc } from '../../src/bpf-loader/native/libc.js';
import { programsToLeaveOut, readKernelNames } from '../../src/bpf-loader/program-choice.js';
import { captureAtSockets } from '../../src/bpf-loader/socket-capture.js';
import { attachSocketHooks } from '../../src/bpf-loader/socket-hooks.js';
import { loadEmptyTwin } from './empty-twin.js';

const ALIVE_MS = 3_600_000;

const [, , cgroup = '', interfaceName] = process.argv;
const twin = loadEmptyTwin(programsToLeaveOut(readKernelNames()));
attachSocketHooks(twin, cgroup, (notice) => {
  throw new Error(notice);
});
if (interfaceName === undefined) {
  captureAtSockets(twin, { path: cgroup, id: 0n });
} else {
  const libc = loadLibc();
  const index = requireInterface(libc, interfaceName);
  attachInterface(
    twin,
    libc,
    { index, name: interfaceName },
    { mode: probeAttachMode(twin, libc) },
  );
}
process.stdout.write('attached\n');
// What is attached goes away with this process.
setTimeout(() => undefined, ALIVE_MS);
