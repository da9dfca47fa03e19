// NetFlow v1 messages octet by octet.
import t from 'tap';
import { CURL_FLOW, PING_FLOW } from '../../support/described-flows.js';
import { decodeExport } from '../../support/exported-messages.js';
import { recordExport } from '../../support/recorded-export.js';

// One hexadecimal string a part, with what it is.
const MESSAGE = [
  '0001', // version
  '0001', // count
  '05265c01', // sysUptime 86400.001 s: the exporter's zero lies a day before its start
  '65938b35', // unixSecs: 04:04:05
  '0ef5f4c0', // and .251 of the second, in nanoseconds: rounded up from .2505
  'c0000201 c6336402 00000000', // addresses, next hop
  '0000 0002', // it came in by no interface and went out by 2
  '00000017 000011d7', // 23 packets, 4567 octets
  '05265818 05265bff', // first and last: 1 s and 1 ms before the hour of uptime
  '9c40 01bb 0000', // ports, padding
  '06 10 1b', // TCP, tos, flags
  '00000000000000', // padding
];

function octets(parts: readonly string[]): string {
  return parts.join('').replaceAll(' ', '');
}

t.test('a message has a header of 16 octets and records of 48', async (t) => {
  const { sweep, transport } = await recordExport(1);
  await sweep([CURL_FLOW]);
  t.equal(transport.messages[0]?.toString('hex'), octets(MESSAGE));
});

t.test('a message holds 24 records, as many as its limit allows, and IPv4 only', async (t) => {
  const flows = Array.from({ length: 50 }, () => CURL_FLOW);
  const { sweep, transport, exporter } = await recordExport(1);
  await sweep([...flows, PING_FLOW]);
  const counts = decodeExport(transport.messages).map(({ records }) => records.length);
  t.same(counts, [24, 24, 2]);
  t.match(exporter.statistics(), { records: 50, notExportable: 1, templates: 0 });

  const small = await recordExport(1, { maxMessageOctets: 16 + 3 * 48 + 47 });
  await small.sweep(flows.slice(0, 7));
  t.same(
    small.transport.messages.map(({ length }) => length),
    [160, 160, 64],
  );
});
