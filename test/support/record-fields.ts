// Fields of a flow record by their name in the kernel's structure, for those without a getter.
import { FLOW_FLAG, FLOW_RECORD } from '../../src/flow/flow-contract.gen.js';
import type { FlowRecord } from '../../src/flow/flow-record.js';

export const FRAGMENTED = FLOW_FLAG.FLOW_FRAGMENTED;
export const ENDED = FLOW_FLAG.FLOW_ENDED;

type FieldName = keyof typeof FLOW_RECORD.fields;

export function field(record: FlowRecord, name: FieldName, form: 'hex'): string;
export function field(record: FlowRecord, name: FieldName, form?: 'host' | 'network'): number;
export function field(
  record: FlowRecord,
  name: FieldName,
  form: 'hex' | 'host' | 'network' = 'host',
): number | string {
  const { offset, size } = FLOW_RECORD.fields[name];
  const at = record.offset + offset;
  if (form === 'hex') return record.bytes.toString('hex', at, at + size);
  return form === 'network' ? record.bytes.readUIntBE(at, size) : record.bytes.readUIntLE(at, size);
}
