// Flow records that another version of the programs wrote, as this version has them: by the names of their
// members, of which the object's type information tells.
import { isDeepStrictEqual } from 'node:util';
import { FLOW_RECORD, PROCESS_OWNER } from '../../flow/flow-contract.gen.js';
import { BpfError } from '../bpf-error.js';
import { readBtf, type BtfStruct } from '../btf.js';

export interface RecordTranslator {
  /** Octets of a record as it was. */
  readonly recordOctets: number;
  /** Records are as this version has them. */
  readonly isSame: boolean;
  /** Whole records in, as many out. What the other version does not know is 0. */
  readonly translate: (records: Buffer) => Buffer;
}

interface Move {
  readonly from: number;
  readonly to: number;
  readonly octets: number;
}

const STRUCT = 'flow_record';
/** Members of a record that are structures, and whose type. */
const INNER: Readonly<Record<string, { readonly name: string; readonly struct: BtfStruct }>> = {
  source: { name: 'process_owner', struct: PROCESS_OWNER },
  destination: { name: 'process_owner', struct: PROCESS_OWNER },
};

/**
 * @param btf of the object whose programs wrote them
 * @throws BpfError when it says nothing of flow records
 */
export function recordTranslator(btf: Buffer): RecordTranslator {
  const { structs } = readBtf(btf);
  const former = structs.get(STRUCT);
  if (former === undefined) {
    throw new BpfError('EPROTO', 'read the flows of a former version', 'they cannot be understood');
  }
  const moves: Move[] = [];
  for (const [name, { offset: to, size }] of Object.entries<{ offset: number; size: number }>(
    FLOW_RECORD.fields,
  )) {
    const from = former.fields[name];
    if (from === undefined) continue;
    const inner = INNER[name];
    const formerInner = inner === undefined ? undefined : structs.get(inner.name);
    if (inner === undefined || formerInner === undefined) {
      moves.push({ from: from.offset, to, octets: Math.min(size, from.size) });
    } else {
      moves.push(...innerMoves(formerInner, inner.struct, from.offset, to));
    }
  }
  const recordOctets = former.size;
  const owner = structs.get('process_owner');
  const isSame = isDeepStrictEqual(former, FLOW_RECORD) && isDeepStrictEqual(owner, PROCESS_OWNER);
  return {
    recordOctets,
    isSame,
    translate: (records) => {
      const count = records.length / recordOctets;
      const translated = Buffer.alloc(count * FLOW_RECORD.size);
      for (let i = 0; i < count; i++) {
        const [fromRecord, toRecord] = [i * recordOctets, i * FLOW_RECORD.size];
        for (const { from, to, octets } of moves) {
          records.copy(translated, toRecord + to, fromRecord + from, fromRecord + from + octets);
        }
      }
      return translated;
    },
  };
}

/** Integers are little-endian: the low octets of a longer one come first. */
function innerMoves(former: BtfStruct, own: BtfStruct, from: number, to: number): Move[] {
  return Object.entries(own.fields).flatMap(([name, { offset, size }]) => {
    const found = former.fields[name];
    if (found === undefined) return [];
    return [{ from: from + found.offset, to: to + offset, octets: Math.min(size, found.size) }];
  });
}
