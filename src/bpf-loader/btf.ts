// Reads structures and enumerations out of BTF, the type information that clang puts beside the
// programs. It is what proves that kernel and user space mean the same offsets.
// Format: Documentation/bpf/btf.rst of the Linux kernel.

interface BtfField {
  readonly offset: number;
  readonly size: number;
}

export interface BtfStruct {
  readonly size: number;
  readonly fields: Readonly<Record<string, BtfField>>;
}

interface BtfTypes {
  readonly structs: ReadonlyMap<string, BtfStruct>;
  readonly enums: ReadonlyMap<string, Readonly<Record<string, number>>>;
}

const BTF_MAGIC = 0xeb9f;
const KIND_INT = 1;
const KIND_PTR = 2;
const KIND_ARRAY = 3;
const KIND_STRUCT = 4;
const KIND_UNION = 5;
const KIND_ENUM = 6;
const KIND_FUNC_PROTO = 13;
const KIND_VAR = 14;
const KIND_DATASEC = 15;
const KIND_DECL_TAG = 17;
const KIND_ENUM64 = 19;

interface RawType {
  readonly name: string;
  readonly kind: number;
  readonly vlen: number;
  readonly sizeOrType: number;
  /** Offset of what follows the 12 octets that every type begins with. */
  readonly body: number;
}

/** Octets after the common 12, by kind. */
function bodySize(kind: number, vlen: number): number {
  switch (kind) {
    case KIND_INT:
    case KIND_VAR:
    case KIND_DECL_TAG:
      return 4;
    case KIND_ARRAY:
      return 12;
    case KIND_STRUCT:
    case KIND_UNION:
    case KIND_DATASEC:
    case KIND_ENUM64:
      return 12 * vlen;
    case KIND_ENUM:
    case KIND_FUNC_PROTO:
      return 8 * vlen;
    default:
      return 0;
  }
}

function readRawTypes(btf: Buffer): { types: RawType[]; nameAt: (offset: number) => string } {
  if (btf.length < 24 || btf.readUInt16LE(0) !== BTF_MAGIC) {
    throw new RangeError('not little-endian BTF: wrong magic');
  }
  const headerLength = btf.readUInt32LE(4);
  const typesStart = headerLength + btf.readUInt32LE(8);
  const typesEnd = typesStart + btf.readUInt32LE(12);
  const stringsStart = headerLength + btf.readUInt32LE(16);
  const nameAt = (offset: number): string => {
    const start = stringsStart + offset;
    return btf.toString('utf8', start, btf.indexOf(0, start));
  };

  const types: RawType[] = [{ name: 'void', kind: 0, vlen: 0, sizeOrType: 0, body: 0 }];
  for (let at = typesStart; at < typesEnd;) {
    const info = btf.readUInt32LE(at + 4);
    const kind = (info >>> 24) & 0x1f;
    const vlen = info & 0xffff;
    types.push({
      name: nameAt(btf.readUInt32LE(at)),
      kind,
      vlen,
      sizeOrType: btf.readUInt32LE(at + 8),
      body: at + 12,
    });
    at += 12 + bodySize(kind, vlen);
  }
  return { types, nameAt };
}

/**
 * Decodes every named structure and enumeration.
 * @param btf the raw contents of a .BTF section, little endian
 * @throws RangeError when the bytes are not BTF
 */
export function readBtf(btf: Buffer): BtfTypes {
  const { types, nameAt } = readRawTypes(btf);

  const sizeOf = (id: number): number => {
    const type = types[id];
    if (type === undefined) throw new RangeError(`BTF type ${id} does not exist`);
    switch (type.kind) {
      case KIND_INT:
      case KIND_STRUCT:
      case KIND_UNION:
      case KIND_ENUM:
      case KIND_ENUM64:
        return type.sizeOrType;
      case KIND_PTR:
        return 8;
      case KIND_ARRAY:
        return sizeOf(btf.readUInt32LE(type.body)) * btf.readUInt32LE(type.body + 8);
      default:
        return sizeOf(type.sizeOrType); // typedef, const, volatile
    }
  };

  const structs = new Map<string, BtfStruct>();
  const enums = new Map<string, Record<string, number>>();
  for (const type of types) {
    if (type.name === '') continue;
    if (type.kind === KIND_STRUCT) {
      const fields: Record<string, BtfField> = {};
      for (let i = 0; i < type.vlen; i++) {
        const member = type.body + 12 * i;
        fields[nameAt(btf.readUInt32LE(member))] = {
          offset: (btf.readUInt32LE(member + 8) & 0xffffff) / 8,
          size: sizeOf(btf.readUInt32LE(member + 4)),
        };
      }
      structs.set(type.name, { size: type.sizeOrType, fields });
    } else if (type.kind === KIND_ENUM) {
      const values: Record<string, number> = {};
      for (let i = 0; i < type.vlen; i++) {
        const entry = type.body + 8 * i;
        values[nameAt(btf.readUInt32LE(entry))] = btf.readInt32LE(entry + 4);
      }
      enums.set(type.name, values);
    }
  }
  return { structs, enums };
}

/** What a type of the object lays out, in words: equal words mean equal octets. */
export type TypeWords = (id: number) => string;

/**
 * @param btf as readBtf takes it
 * @throws RangeError when the bytes are not BTF
 */
export function readTypeWords(btf: Buffer): TypeWords {
  const { types, nameAt } = readRawTypes(btf);
  const words = (id: number): string => {
    const type = types[id];
    if (type === undefined) throw new RangeError(`BTF type ${id} does not exist`);
    const { kind, vlen, sizeOrType, body, name } = type;
    const each = (octets: number, describe: (at: number) => string): string =>
      Array.from({ length: vlen }, (_, i) => describe(body + octets * i)).join();
    switch (kind) {
      case KIND_INT:
        return `i${sizeOrType}`;
      case KIND_PTR:
        return 'pointer';
      case KIND_ARRAY:
        return `${words(btf.readUInt32LE(body))}[${btf.readUInt32LE(body + 8)}]`;
      case KIND_STRUCT:
      case KIND_UNION: {
        const member = (at: number): string =>
          `${nameAt(btf.readUInt32LE(at))}@${btf.readUInt32LE(at + 8)}:${words(btf.readUInt32LE(at + 4))}`;
        return `${name}{${each(12, member)}}${sizeOrType}`;
      }
      case KIND_ENUM:
        return `${name}(${each(8, (at) => `${nameAt(btf.readUInt32LE(at))}=${btf.readInt32LE(at + 4)}`)})`;
      default:
        return sizeOrType === 0 ? 'void' : words(sizeOrType); // typedef, const, volatile
    }
  };
  return words;
}
