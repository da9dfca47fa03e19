// Whether packets and octets sum up: on the wire, in procflow's records, in nfcapd.
import type { Summary } from '../../test/support/procflow.js';
import type { WireCount } from '../support/quiet-wire.js';
import type { Collected } from '../support/wire-nfcapd.js';

/** @returns a sentence for each sum that differs */
export function unequalSums(
  run: string,
  wire: WireCount,
  exported: Summary,
  collected: Collected,
): readonly string[] {
  const differ: string[] = [];
  for (const what of ['packets', 'octets'] as const) {
    if (exported[what] !== wire[what]) {
      const lost = exported.counter(`LOST_${what.toUpperCase()}`);
      differ.push(
        `${run}: procflow's records have ${exported[what]} ${what}, the interface ${wire[what]}; ` +
          `${lost} are counted as lost in the kernel`,
      );
    }
    if (collected[what] !== exported[what]) {
      differ.push(
        `${run}: nfcapd has ${collected[what]} ${what}, procflow's records ${exported[what]}; ` +
          `nfcapd's socket had no room for ${collected.drops} datagrams`,
      );
    }
  }
  return differ;
}
