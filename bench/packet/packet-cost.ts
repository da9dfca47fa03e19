// draft
import { BpfObject } from '../../src/bpf-loader/bpf-object.js';
import { loadLibc } from '../../src/bpf-loader/native/libc.js';
import { openNetworkNamespace } from '../../src/bpf-loader/network-namespace.js';
import { createNamespacePair } from '../../test/support/network-namespace.js';
import { ethernet, ipv4, ipv6, udp } from '../../test/support/packet-bytes.js';
import { withCleanup } from '../cleanup.js';
import { median } from '../figures.js';
import { loadEmptyTwin } from '../empty-twin.js';
import { openSeriesRunner } from './packet-series.js';

const VETH = 2;
const V4 = { frame: ethernet('ipv4', ipv4({ protocol: 17 }, udp(18, [1000, 53]))), addressAt: 26 };
const V6 = { frame: ethernet('ipv6', ipv6({ nextHeader: 17 }, udp(18, [1000, 53]))), addressAt: 34 };
await withCleanup(async (t) => {
  const { path } = createNamespacePair(t).a;
  const namespace = openNetworkNamespace(path, loadLibc());
  t.teardown(() => namespace.close());
  namespace.run(() => {
    const max = 1_500_000;
    for (const [name, p] of [['v4', V4], ['v6', V6]] as const) {
      for (const program of ['flow_egress', 'flow_ingress']) {
        for (const isNew of process.argv[3] === 'new' ? [true] : process.argv[3] === 'old' ? [false] : [false, true]) {
        for (const flows of (process.argv[2] ?? '1,10,1000,100000').split(',').map(Number)) {
          const real = BpfObject.load({ maxEntries: { flows_v4: max, flows_v6: max } });
          const twin = loadEmptyTwin(real.unavailable);
          const runner = openSeriesRunner(t, real, twin);
          if (isNew && flows < 1000) continue;
          const packets = isNew ? Math.min(flows, 20000) : Math.max(flows, 200_000);
          const times = runner.run({ program, ...p, interfaceIndex: VETH, flows: isNew ? packets: flows, packets, rounds: flows > 100000 ? 7 : 60, hasOwner: true, isNew });
          const diff = times.real.map((v, i) => v - (times.empty[i] ?? 0));
          console.log(name, program, flows, isNew ? 'new' : '', 'empty', Math.min(...times.empty).toFixed(1), 'real', Math.min(...times.real).toFixed(1), 'diff med', median(diff).toFixed(1), 'min', Math.min(...diff).toFixed(1));
          twin.close(); real.close();
        }
        }
      }
    }
  });
});
