// A decoder of IPFIX messages for tests, written from RFC 7011 and sharing nothing with the
// encoder. Template records and data records only.

interface FieldSpecifier {
  /** "35632/168"; "0/n" for IANA's. */
  readonly key: string;
  readonly octets: number;
}

export interface IpfixRecord {
  readonly templateId: number;
  /** Field contents by "enterprise/element". */
  readonly fields: ReadonlyMap<string, Buffer>;
}

export interface IpfixMessage {
  readonly exportTime: number;
  readonly sequenceNumber: number;
  readonly observationDomainId: number;
  readonly templateIds: readonly number[];
  readonly records: readonly IpfixRecord[];
}

/** One collector's memory of templates. Throws at whatever RFC 7011 does not allow. */
export class IpfixDecoder {
  readonly #templates = new Map<number, readonly FieldSpecifier[]>();

  decode(message: Buffer): IpfixMessage {
    if (message.readUInt16BE(0) !== 10) throw new Error('version is not 10');
    if (message.readUInt16BE(2) !== message.length) throw new Error('length is not the message');
    const templateIds: number[] = [];
    const records: IpfixRecord[] = [];
    for (let at = 16; at < message.length;) {
      const setId = message.readUInt16BE(at);
      const setOctets = message.readUInt16BE(at + 2);
      if (setOctets <= 4) throw new Error(`set ${setId} is empty`);
      const set = message.subarray(at + 4, at + setOctets);
      if (set.length !== setOctets - 4) throw new Error(`set ${setId} is longer than its message`);
      if (setId === 2) templateIds.push(...this.#readTemplates(set));
      else if (setId >= 256) records.push(...this.#readData(setId, set));
      else throw new Error(`set id ${setId}`);
      at += setOctets;
    }
    return {
      exportTime: message.readUInt32BE(4),
      sequenceNumber: message.readUInt32BE(8),
      observationDomainId: message.readUInt32BE(12),
      templateIds,
      records,
    };
  }

  #readTemplates(set: Buffer): number[] {
    const ids: number[] = [];
    for (let at = 0; at < set.length;) {
      const id = set.readUInt16BE(at);
      const count = set.readUInt16BE(at + 2);
      if (id < 256 || count === 0) throw new Error(`template ${id} of ${count} fields`);
      at += 4;
      const fields: FieldSpecifier[] = [];
      for (let i = 0; i < count; i++) {
        const element = set.readUInt16BE(at);
        const isEnterprise = element >= 0x8000;
        const enterprise = isEnterprise ? set.readUInt32BE(at + 4) : 0;
        fields.push({ key: `${enterprise}/${element % 0x8000}`, octets: set.readUInt16BE(at + 2) });
        at += isEnterprise ? 8 : 4;
      }
      this.#templates.set(id, fields);
      ids.push(id);
    }
    return ids;
  }

  #readData(templateId: number, set: Buffer): IpfixRecord[] {
    const template = this.#templates.get(templateId);
    if (template === undefined) throw new Error(`no template ${templateId}`);
    const records: IpfixRecord[] = [];
    for (let at = 0; at < set.length;) {
      const fields = new Map<string, Buffer>();
      for (const { key, octets } of template) {
        let length = octets;
        if (octets === 65535) {
          length = set.readUInt8(at);
          at += 1;
          if (length === 255) {
            length = set.readUInt16BE(at);
            at += 2;
          }
        }
        if (at + length > set.length) throw new Error(`${key} reaches out of its set`);
        if (fields.has(key)) throw new Error(`${key} is there twice`);
        fields.set(key, set.subarray(at, at + length));
        at += length;
      }
      records.push({ templateId, fields });
    }
    return records;
  }
}
