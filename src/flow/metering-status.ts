// What the exporting process tells collectors of the metering process, in options records.
import type { Sampling } from './sampling.js';

export interface MeteredInterface {
  readonly index: number;
  /** "eth0" */
  readonly name: string;
  /** The alias that an administrator gave it, or what kind of link it is; may be empty. */
  readonly description: string;
}

/** What was seen and not metered; all only grow. */
export interface MeteringLosses {
  readonly packets: number;
  readonly octets: number;
  /** When the first and the last were noticed, milliseconds since 1970; undefined without any. */
  readonly firstMs: number | undefined;
  readonly lastMs: number | undefined;
}

export interface MeteringStatus {
  readonly sampling: Sampling;
  readonly interfaces: () => readonly MeteredInterface[];
  readonly losses: () => MeteringLosses;
}
