// What tshark makes of biflows; what nfdump does, nfdump-fixtures/ipfix-biflow has.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { CLIENT, reverseOf, udp } from '../../support/biflow-records.js';
import { tshark, tsharkComplaints, writePcap } from '../../support/pcap.js';
import { recordExport } from '../../support/recorded-export.js';

const COUNTERS = [
  'Biflow Direction: Initiator (1)',
  'Packets: 7 (Reverse Type 2 PKTS)',
  'Octets: 70000 (Reverse Type 1 BYTES)',
];
/** Times are there too, but their text says no "reverse". */
const DETAILS = [
  'IP ToS: 0x20 (Reverse Type 5 IP_TOS)',
  'Flow End Reason: Idle timeout (1) (Reverse Type 136 flowEndReason)',
  'TCP Flags: 0x1a, ACK, PSH, SYN (Reverse Type 6 TCP_FLAGS)',
  'MinLength: 52 (Reverse Type 25 IP LENGTH MINIMUM)',
  'MaxLength: 1400 (Reverse Type 26 IP LENGTH MAXIMUM)',
  'MinTTL: 57 (Reverse Type 52 IP TTL MINIMUM)',
  'MaxTTL: 58 (Reverse Type 53 IP TTL MAXIMUM)',
];
/** Of the flow that is alone. */
const ALONE = 'Biflow Direction: Initiator (1)';
const PROFILES = [
  { profile: 'process', expected: [...COUNTERS, ALONE] },
  { profile: 'full', expected: [...COUNTERS, ...DETAILS, ALONE] },
] as const;

for (const { profile, expected } of PROFILES) {
  t.test(`tshark shows both directions, profile ${profile}`, async (t) => {
    const templates = { isBiflow: true, profile } as const;
    const { sweep, exporter, transport } = await recordExport(10, { templates });
    const details = { minLength: 52, maxLength: 1400, minTtl: 57, maxTtl: 58, tos: 0x20 };
    const reverse = { ...reverseOf(CLIENT), ...details, tcpFlags: 0x1a, endReason: 1 };
    await sweep([CLIENT, reverse, { ...udp(CLIENT), sourcePort: 41000 }]);
    await exporter.close();
    const directory = mkdtempSync(join(tmpdir(), 'procflow-biflow-'));
    t.teardown(() => {
      rmSync(directory, { recursive: true });
    });
    const path = join(directory, 'export.pcap');
    writePcap(path, transport.messages);
    t.equal(tsharkComplaints(path), '');
    const lines = tshark(path, ['-O', 'cflow']).split('\n');
    t.same(
      lines.map((line) => line.trim()).filter((line) => /\(Reverse |^Biflow/.test(line)),
      expected,
    );
  });
}
