// A network that is gone without a word: no packet tells of it.
import t from 'tap';
import { ChangingName } from '../../support/changing-name.js';
import { enter, linkedNamespaces } from '../../support/entered-namespace.js';
import { bringUp, takeDown } from '../../support/network-namespace.js';
import { missingRequirement } from '../../support/requirements.js';
import { TcpCollector, deliver, eventually, numberedMessage } from '../../support/tcp-collector.js';
import { tcpTransport } from '../../support/tcp-transport.js';

const OCTETS = 1372;

t.test(
  'what was sent into a dead network goes again',
  { skip: missingRequirement() },
  async (t) => {
    const pair = linkedNamespaces(t);
    enter(pair.b);
    const address = pair.b.ipv4;
    const collector = await TcpCollector.listen(t, { address });
    enter(pair.a);
    const name = new ChangingName();
    const transport = tcpTransport({
      host: address,
      port: collector.port,
      reconnectIntervalMs: 10,
      connectTimeoutMs: 200,
      stallTimeoutMs: 200,
      onNotice: name.notice,
    });
    await transport.open();
    t.teardown(() => transport.close());
    await transport.ready();
    for (const number of [0, 1, 2]) {
      await transport.send(numberedMessage(number, OCTETS), OCTETS);
    }
    await eventually(() => transport.confirmed() === 3);
    takeDown(pair);
    for (const number of [3, 4]) await transport.send(numberedMessage(number, OCTETS), OCTETS);
    t.match(await name.nextNotice(), /is lost: nothing was acknowledged for 200 ms$/);
    t.equal(transport.confirmed(), 3);
    t.match(await name.nextNotice(), /^connect to tcp:.*: (EHOSTUNREACH|ENETUNREACH|no answer)/);
    bringUp(pair);
    await deliver(transport, 2, OCTETS);
    t.equal(collector.connections[0]?.numbers.length, 3);
  },
);
