// Tells IPFIX messages that hold nothing but templates and options records from those with flows: a
// file without flows that could not be written on is of no use to anybody.

const MESSAGE_HEADER_OCTETS = 16;
const SET_HEADER_OCTETS = 4;
const TEMPLATE_SET = 2;
const OPTIONS_TEMPLATE_SET = 3;
const ENTERPRISE_BIT = 0x8000;

export class ControlMessages {
  readonly #optionsTemplates = new Set<number>();

  /** The messages of a session in their order; what cannot be understood is taken for flows. */
  isControl(bytes: Buffer, octets: number): boolean {
    let at = MESSAGE_HEADER_OCTETS;
    while (at + SET_HEADER_OCTETS <= octets) {
      const setId = bytes.readUInt16BE(at);
      const end = at + bytes.readUInt16BE(at + 2);
      if (end < at + SET_HEADER_OCTETS || end > octets) return false;
      if (setId === OPTIONS_TEMPLATE_SET) this.#noteTemplates(bytes, at + SET_HEADER_OCTETS, end);
      else if (setId !== TEMPLATE_SET && !this.#optionsTemplates.has(setId)) return false;
      at = end;
    }
    return at === octets;
  }

  /** RFC 7011 §3.4.2.2: template id, count of fields, count of scope fields among them. */
  #noteTemplates(bytes: Buffer, start: number, end: number): void {
    for (let at = start; at + 6 <= end;) {
      const fields = bytes.readUInt16BE(at + 2);
      this.#optionsTemplates.add(bytes.readUInt16BE(at));
      at += 6;
      for (let field = 0; field < fields && at + 4 <= end; field++) {
        at += (bytes.readUInt16BE(at) & ENTERPRISE_BIT) === 0 ? 4 : 8;
      }
    }
  }
}
