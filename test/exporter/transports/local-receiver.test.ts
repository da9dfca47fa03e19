// When the exporter waits for a collector on its own host; that nothing is lost by it,
// end-to-end/one-million-flows.test.ts has.
import { setTimeout as delay } from 'node:timers/promises';
import t from 'tap';
import { LocalReceiver, isOwnAddress } from '../../../src/exporter/transports/local-receiver.js';

const PORT = 9995; // 270B
const CHECKED_MESSAGES = 24;

/** Lines of /proc/net/udp and /proc/net/udp6, by their local and remote address and queue. */
function table(...sockets: readonly (readonly [string, string, string])[]): string {
  const lines = sockets.map(
    ([local, remote, queue]) =>
      ` 1182: ${local} ${remote} 07 00000000:${queue} 00:00000000 00000000     0        0 48251 2 0 0`,
  );
  return ['  sl  local_address rem_address   st tx_queue rx_queue tr', ...lines, ''].join('\n');
}

const ANY = '00000000:0000';
const CASES = [
  { name: 'a full queue', sockets: [['0100007F:270B', ANY, '00010001']], isAwaited: true },
  { name: 'a queue with room', sockets: [['0100007F:270B', ANY, '00010000']], isAwaited: false },
  { name: 'on any address', sockets: [['00000000:270B', ANY, '00020000']], isAwaited: true },
  { name: 'of another port', sockets: [['0100007F:270C', ANY, '00020000']], isAwaited: false },
  {
    name: 'of a connected socket',
    sockets: [['0100007F:270B', '0100007F:1234', '00020000']],
    isAwaited: false,
  },
  {
    name: 'the fullest of several',
    sockets: [
      ['0100007F:270B', ANY, '00000000'],
      ['00000000:270B', ANY, '00020000'],
    ],
    isAwaited: true,
  },
  {
    name: 'of IPv6',
    family: 6,
    sockets: [[`${'0'.repeat(32)}:270B`, `${'0'.repeat(32)}:0000`, '00020000']],
    isAwaited: true,
  },
  { name: 'no such socket', sockets: [], isAwaited: false },
] as const;

for (const { name, sockets, isAwaited, ...rest } of CASES) {
  t.test(`${isAwaited ? 'awaited' : 'not awaited'}: ${name}`, async (t) => {
    const path = 'family' in rest ? '/proc/net/udp6' : '/proc/net/udp';
    let isEmptied = false;
    const readTable = (asked: string): string =>
      asked === path && !isEmptied ? table(...sockets) : table();
    const receiver = new LocalReceiver({ port: PORT, readTable });
    for (let i = 1; i < CHECKED_MESSAGES; i++) await receiver.awaitRoom();
    let hasRoom = false;
    const room = receiver.awaitRoom().then(() => (hasRoom = true));
    await delay(20);
    t.equal(hasRoom, !isAwaited);
    isEmptied = true;
    await room;
  });
}

t.test('one that stands still is not awaited again until it has read', async (t) => {
  let queue = '00020000';
  let looks = 0;
  const readTable = (): string => {
    looks++;
    return table(['0100007F:270B', ANY, queue]);
  };
  const receiver = new LocalReceiver({ port: PORT, readTable, patienceMs: 10 });
  const send = async (): Promise<number> => {
    looks = 0;
    for (let i = 0; i < CHECKED_MESSAGES; i++) await receiver.awaitRoom();
    return looks;
  };
  t.ok((await send()) > 2, 'looked at several times');
  t.ok((await send()) <= 2, 'once in each table');
  queue = '00000000';
  await send();
  queue = '00020000';
  t.ok((await send()) > 2);
});

t.test('addresses of this host are known', async (t) => {
  t.ok(isOwnAddress('127.0.0.53'));
  t.ok(isOwnAddress('::1'));
  t.notOk(isOwnAddress('192.0.2.1'));
});
