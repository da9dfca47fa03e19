// Encodes options data records: values by name, in the order and the lengths of their template.
import type {
  OptionsField,
  OptionsTemplate,
  OptionsValueName,
} from '../../templates/options-templates.js';
import { VARIABLE_LENGTH } from '../../templates/flow-fields.js';
import { writeString } from '../records/string-octets.js';

/** A whole number, a fraction, a text or octets, by the encoding of its element. */
type OptionsValue = number | bigint | string | Buffer;
export type OptionsValues = Readonly<Partial<Record<OptionsValueName, OptionsValue>>>;

const LONG_OCTETS = 8;
/** A variable length below 255 is told in one octet (RFC 7011 §7). */
const LONGEST_SHORT_OCTETS = 254;

/** Texts are cut to their field at a whole character. */
export function optionsRecord(template: OptionsTemplate, values: OptionsValues): Buffer {
  const fields = [...template.scope, ...template.fields];
  return Buffer.concat(fields.map((field) => encode(field, values[field.value])));
}

function encode(field: OptionsField, value: OptionsValue = 0): Buffer {
  switch (field.encoding) {
    case 'unsigned':
      return unsigned(typeof value === 'bigint' ? value : Number(value), field.octets);
    case 'float': {
      const out = Buffer.alloc(field.octets);
      out.writeDoubleBE(Number(value));
      return out;
    }
    case 'string':
      return text(Buffer.from(String(value)), field.octets);
    case 'octets':
      return fixed(Buffer.isBuffer(value) ? value : Buffer.alloc(0), field.octets);
  }
}

function unsigned(value: number | bigint, octets: number): Buffer {
  const out = Buffer.alloc(octets);
  if (octets === LONG_OCTETS) out.writeBigUInt64BE(BigInt(value));
  else out.writeUIntBE(Number(value), 0, octets);
  return out;
}

/** Fixed lengths end in a NUL at least, which some collectors need. */
function text(source: Buffer, octets: number): Buffer {
  const isVariable = octets === VARIABLE_LENGTH;
  const limit = isVariable ? LONGEST_SHORT_OCTETS : octets - 1;
  const out = Buffer.alloc(limit + 1);
  const start = isVariable ? 1 : 0;
  const written = writeString(source, 0, source.length, out, start, limit);
  const length = written < 0 ? ~written : written;
  if (!isVariable) return out;
  out.writeUInt8(length);
  return out.subarray(0, start + length);
}

function fixed(source: Buffer, octets: number): Buffer {
  const out = Buffer.alloc(octets);
  source.copy(out, 0, 0, octets);
  return out;
}
