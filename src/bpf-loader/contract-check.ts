// Proves that the loaded object means the same bytes as this program: the offsets that were
// generated from bpf/flow_contract.h against the BTF inside the object.
import {
  CONTRACT,
  EXEC_EVENT,
  EXPIRY_SETTINGS,
  FLOW_RECORD,
  METER_COUNTER,
  METER_SETTINGS,
  PROCESS_EVENT,
  PROCESS_EVENT_KIND,
  PROCESS_OWNER,
  REPLAY_FRAME,
} from '../flow/flow-contract.gen.js';
import { BpfError } from './bpf-error.js';
import { readBtf, type BtfStruct } from './btf.js';

const STRUCTS: Readonly<Record<string, BtfStruct>> = {
  flow_record: FLOW_RECORD,
  process_owner: PROCESS_OWNER,
  expiry_settings: EXPIRY_SETTINGS,
  meter_settings: METER_SETTINGS,
  process_event: PROCESS_EVENT,
  replay_frame: REPLAY_FRAME,
  exec_event: EXEC_EVENT,
};
const ENUMS: Readonly<Record<string, Readonly<Record<string, number>>>> = {
  contract: CONTRACT,
  meter_counter: METER_COUNTER,
  process_event_kind: PROCESS_EVENT_KIND,
};

/** Every difference, one line each, naming both sides. */
export function contractDifferences(btfBytes: Buffer): string[] {
  const btf = readBtf(btfBytes);
  const differences: string[] = [];
  const compare = (what: string, ours: number, theirs: number | undefined): void => {
    if (ours !== theirs)
      differences.push(`${what}: ${ours} in the daemon, ${theirs ?? 'missing'} in the object`);
  };
  for (const [name, expected] of Object.entries(STRUCTS)) {
    const found = btf.structs.get(name);
    compare(`size of struct ${name}`, expected.size, found?.size);
    for (const [field, { offset, size }] of Object.entries(expected.fields)) {
      compare(`offset of ${name}.${field}`, offset, found?.fields[field]?.offset);
      compare(`size of ${name}.${field}`, size, found?.fields[field]?.size);
    }
  }
  for (const [name, expected] of Object.entries(ENUMS)) {
    const found = btf.enums.get(name);
    for (const [entry, value] of Object.entries(expected)) {
      compare(entry, value, found?.[entry]);
    }
  }
  return differences;
}

/** @throws BpfError CONTRACT_MISMATCH that names the first differences */
export function checkContract(btfBytes: Buffer, objectPath: string): void {
  const differences = contractDifferences(btfBytes);
  if (differences.length === 0) return;
  throw new BpfError(
    'CONTRACT_MISMATCH',
    `check ${objectPath} against this version of procflow`,
    `${differences.slice(0, 3).join('; ')}; build both again or reinstall the package`,
  );
}

/** All of the contract in words, to compare with another version's. */
export function contractText(): string {
  return JSON.stringify([STRUCTS, ENUMS]);
}
