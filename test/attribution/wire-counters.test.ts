// What the judge takes for segments without a socket, with real packets.
import t from 'tap';
import { runGenerator, startGenerator, type Place } from '../support/generators.js';
import { bringUp, createNamespacePair, type Side } from '../support/network-namespace.js';
import { missingRequirement } from '../support/requirements.js';
import { createCgroup } from '../support/test-cgroup.js';
import { countSocketless, readSocketless } from './wire-counters.js';

const CLOSED_PORT = 9;
const MANY_OCTETS = 1_000_000;
/** The one that completes a connection, and what a busy machine sends again at its end. */
const FEW_SEGMENTS = 10;

t.test(
  'of all packets only TCP segments without a socket',
  { skip: missingRequirement() },
  async (t) => {
    const pair = createNamespacePair(t);
    bringUp(pair);
    countSocketless(pair.a);
    const cgroup = createCgroup(t);
    const placeOf = (namespace: Side): Place => ({ namespace, cgroup });
    const [here, there] = [placeOf(pair.a), placeOf(pair.b)];
    for (const family of ['ipv4', 'ipv6'] as const) {
      const [own, other] = [pair.a[family], pair.b[family]];
      const counted = (from: string, to: string) => readSocketless(pair.a).get(`${from} ${to}`);
      const toClosed = (address: string) => ['--to', address, '--port', CLOSED_PORT] as const;

      await runGenerator(t, here, 'udp-client', ...toClosed(other));
      await runGenerator(t, there, 'udp-client', ...toClosed(own));
      t.notOk(counted(own, other), `${family}: no UDP that is sent`);
      t.notOk(counted(other, own), `${family}: no UDP that arrives`);

      const refused = startGenerator(t, there, 'tcp-client', ...toClosed(own));
      t.not((await refused.ended).code, 0);
      t.match(counted(other, own), { packets: 1 }, `${family}: a SYN that nobody awaits`);
      t.match(counted(own, other), { packets: 1 }, `${family}: the reset`);

      const any = family === 'ipv4' ? '0.0.0.0' : '::';
      const server = startGenerator(t, here, 'tcp-server', '--address', any);
      const { port } = await server.report('ready');
      const to = ['--to', own, '--port', Number(port), '--octets', MANY_OCTETS] as const;
      await runGenerator(t, there, 'tcp-client', ...to);
      await server.success();
      const { packets = 0 } = counted(other, own) ?? {};
      t.ok(packets < FEW_SEGMENTS, `${family}: few of a connection that is served: ${packets}`);
    }
  },
);
