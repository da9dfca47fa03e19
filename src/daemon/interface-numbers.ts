// softflowd's "-i 7:eth0": the number by which collectors know an interface, where it is not the
// kernel's index.
import type { MeteringStatus } from '../flow/metering-status.js';
import { ConfigError } from './config-error.js';
import { readInteger } from './quantities.js';

/** NetFlow v5 has no room for more. */
const MAX_NUMBER = 65_535;
const ANY = 'any';
/** Kernel indexes whose number is remembered. */
const MAX_KNOWN = 16_384;

/** By name; "any" for those that have none of their own. */
export type InterfaceNumbers = ReadonlyMap<string, number>;

export interface NumberedInterfaces {
  readonly names: readonly string[];
  readonly numbers: InterfaceNumbers;
}

/**
 * @param texts "eth0" or "7:eth0"
 * @throws ConfigError
 */
export function readInterfaceNumbers(texts: readonly string[]): NumberedInterfaces {
  const numbers = new Map<string, number>();
  const names = texts.map((text) => {
    const [, digits, name] = /^(\d+):(.+)$/.exec(text) ?? [];
    if (digits === undefined || name === undefined) return text;
    const number = readInteger(`-i ${text}`, digits, 0, MAX_NUMBER);
    if (numbers.has(name) && numbers.get(name) !== number) {
      throw new ConfigError(`-i ${text}`, `${name} has another number already`, 'give one');
    }
    numbers.set(name, number);
    return name;
  });
  return { names, numbers };
}

/** What collectors are told of the interfaces, with these numbers. */
export function numberedStatus(status: MeteringStatus, numbers: InterfaceNumbers): MeteringStatus {
  if (numbers.size === 0) return status;
  return {
    ...status,
    interfaces: () =>
      status.interfaces().map((metered) => ({
        ...metered,
        index: numbers.get(metered.name) ?? numbers.get(ANY) ?? metered.index,
      })),
  };
}

/**
 * The number for the index in a flow record; undefined where no interface has one of its own.
 * @param status asked for names once for each index
 */
export function interfaceNumbering(
  status: MeteringStatus,
  numbers: InterfaceNumbers,
): ((index: number) => number) | undefined {
  if (numbers.size === 0) return undefined;
  const known = new Map<number, number>();
  return (index) => {
    const number = known.get(index);
    if (number !== undefined) return number;
    // Those of containers come and go, and each has an index of its own.
    if (known.size >= MAX_KNOWN) known.clear();
    const name = status.interfaces().find((metered) => metered.index === index)?.name;
    const found = numbers.get(name ?? '') ?? numbers.get(ANY) ?? index;
    known.set(index, found);
    return found;
  };
}
