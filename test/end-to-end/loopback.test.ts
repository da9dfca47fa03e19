// On loopback both ends are here: one flow for each direction, counted once, with both processes.
import t from 'tap';
import { startExportCapture } from '../support/export-capture.js';
import { runGenerator, startGenerator } from '../support/generators.js';
import { sumFlows } from '../support/metering-session.js';
import { createNamespace, interfaceCounters } from '../support/network-namespace.js';
import { startNfcapd } from '../support/nfcapd.js';
import { startExport } from '../support/procflow.js';
import { missingRequirement } from '../support/requirements.js';
import { createCgroup } from '../support/test-cgroup.js';

const skip = missingRequirement();
const ADDRESSES = ['127.0.0.1', '::1'] as const;
const KINDS = ['tcp', 'udp'] as const;

t.test('a flow on loopback is counted once and names both processes', { skip }, async (t) => {
  const namespace = createNamespace(t);
  const cgroup = createCgroup(t);
  const place = { namespace, cgroup };
  const collector = await startNfcapd(t);
  const capture = await startExportCapture(t, collector.port);
  const options = { namespace, interfaces: ['lo'], version: 10, cgroup } as const;
  const exporter = await startExport(t, { ...options, port: collector.port });
  const conversations = [];
  for (const address of ADDRESSES) {
    for (const kind of KINDS) {
      const version = address === '::1' ? 6 : 4;
      const role = ['--echo', '--address', address];
      const name = `lo-${kind}-s${version}`;
      const server = startGenerator(t, place, [`${kind}-server`, name], ...role);
      const listening = await server.report('ready');
      const to = ['--to', address, '--port', Number(listening.port), '--read-echo'];
      const command = [`${kind}-client`, `lo-${kind}-c${version}`] as const;
      const client = await runGenerator(t, place, command, ...to);
      await server.success();
      conversations.push({ client, server: listening });
    }
  }
  const wire = interfaceCounters({ name: namespace.name, interfaceName: 'lo' });
  const summary = await exporter.stop();
  await capture.stop();
  const flows = capture.flows();
  const nfdump = await collector.stop();

  t.equal(sumFlows(flows).packets, wire.sentPackets, 'once, although loopback sends and receives');
  t.equal(sumFlows(nfdump).packets, wire.sentPackets);
  t.equal(summary.packets, wire.sentPackets);
  for (const { client, server } of conversations) {
    const [sender, receiver] = [
      { pid: client.pid, name: client.comm },
      { pid: server.pid, name: server.comm },
    ];
    const there = flows.filter((flow) => flow.sourcePort === client.port);
    const back = flows.filter((flow) => flow.destinationPort === client.port);
    t.equal(there.length, 1, `${client.comm}: one flow there`);
    t.equal(back.length, 1, `${client.comm}: one flow back`);
    t.match(there[0], { sourceProcess: sender, destinationProcess: receiver }, client.comm);
    t.match(back[0], { sourceProcess: receiver, destinationProcess: sender }, server.comm);
  }
});
