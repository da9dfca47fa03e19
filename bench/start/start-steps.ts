// Does what `procflow export` does until it meters, a step after the other, and prints as JSON how long each
// took. Arguments: namespace, interface, cgroup.
import { performance } from 'node:perf_hooks';
import { verifiedInstructions } from './verified-programs.js';

export interface StartSteps {
  /** Since the start of the process, until a statement of ours runs. */
  readonly nodeMs: number;
  readonly modulesMs: number;
  /** libbpf reads the object and the kernel's types, the kernel verifies the programs. */
  readonly loadMs: number;
  /** The same, in another run, and then iterators, hooks and interfaces. */
  readonly openMs: number;
  /** Instructions that the verifier walked: of each program, by its name. */
  readonly verified: Readonly<Record<string, number>>;
}

const IDLE_MS = 15_000;

const nodeMs = performance.now();
const [netns = '', interfaceName = '', cgroup = ''] = process.argv.slice(2);

async function timed<Result>(act: () => Result | Promise<Result>): Promise<[Result, number]> {
  const before = performance.now();
  return [await act(), performance.now() - before];
}

const [, modulesMs] = await timed(() => import('../../src/cli/export.js'));
const { BpfObject } = await import('../../src/bpf-loader/bpf-object.js');
const { openKernelFlowSource } = await import('../../src/bpf-loader/kernel-flow-source.js');

const [object, loadMs] = await timed(() => BpfObject.load({ maxEntries: {} }));
const verified = verifiedInstructions();
object.close();
const idle = { tcp: IDLE_MS, 'tcp.rst': IDLE_MS, 'tcp.fin': IDLE_MS, udp: IDLE_MS, icmp: IDLE_MS };
const [source, openMs] = await timed(() =>
  openKernelFlowSource({
    netns,
    interfaces: [interfaceName],
    cgroup,
    timeouts: { maxlife: 4 * IDLE_MS, general: IDLE_MS, ...idle },
    maxFlows: 65_536,
    onNotice: () => undefined,
  }),
);
source.close();
const steps: StartSteps = { nodeMs, modulesMs, loadMs, openMs, verified };
process.stdout.write(`${JSON.stringify(steps)}\n`);
