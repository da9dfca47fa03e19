// The processes of the record that is being encoded, as the octets of their names. Nothing is
// allocated for a process that was seen before.
import { PROCESS_OWNER } from '../../flow/flow-contract.gen.js';
import { FlowRecord, type FlowSide } from '../../flow/flow-record.js';
import { nonProcessKind, type NonProcessNames } from '../../flow/non-process-names.js';
import type { ProcessDirectory, ProcessIdentity } from '../../flow/process-directory.js';
import type { ProcessSide, ProcessText, TextEncoding } from '../../templates/flow-fields.js';
import type { Placeholder, ProcessTextFormat } from '../../templates/process-text-format.js';
import { IdentityTexts, type IdentityText } from './identity-texts.js';
import { writeString } from './string-octets.js';

const NOTHING = new Uint8Array(0);
/**
 * For a text by the user's format: more than any field takes, so that one that was cut here is cut, and
 * counted, there too.
 */
const RENDERED_OCTETS = 1024;
const MOST_DIGITS = 10;

/** Of the placeholders that stand for what the directory knows. */
const IDENTITY_PLACEHOLDERS = {
  exe: 'executable',
  exename: 'executableName',
  command: 'commandLine',
  parent: 'parentName',
  unit: 'unit',
  container: 'shortContainerId',
  containerid: 'containerId',
  runtime: 'containerRuntime',
  cgroup: 'cgroupPath',
  pod: 'podUid',
} as const satisfies Partial<Record<Placeholder, IdentityText>>;

export class RecordProcesses {
  readonly record = new FlowRecord();
  readonly #directory: ProcessDirectory;
  readonly #nonProcesses: Readonly<Record<keyof NonProcessNames, Uint8Array>>;
  readonly #identityTexts = new IdentityTexts();
  /** Asked for once a record and side; null: not yet. */
  readonly #identities: Record<FlowSide, ProcessIdentity | undefined | null> = {
    source: null,
    destination: null,
  };
  // Each is used anew for the next text.
  /** NUL padded. */
  readonly #comm = Buffer.alloc(PROCESS_OWNER.fields.comm.size);
  /** With a NUL behind the last digit. */
  readonly #digits = Buffer.alloc(MOST_DIGITS + 1);
  /** With a NUL behind the text. */
  readonly #rendered = Buffer.alloc(RENDERED_OCTETS + 1);

  constructor(directory: ProcessDirectory, names: NonProcessNames) {
    this.#directory = directory;
    this.#nonProcesses = {
      kernel: Buffer.from(names.kernel),
      forwarded: Buffer.from(names.forwarded),
      unknown: Buffer.from(names.unknown),
    };
  }

  moveTo(bytes: Buffer, offset: number): void {
    this.record.at(bytes, offset);
    this.#identities.source = null;
    this.#identities.destination = null;
  }

  /** 0 where it is not known. */
  parentPid(side: FlowSide): number {
    return this.#identity(side)?.parentPid ?? 0;
  }

  /** As UTF-8, not sanitised, up to a NUL if there is one; valid until the next call. */
  text(encoding: TextEncoding): Uint8Array {
    if (encoding.kind === 'processText') return this.#plainText(encoding.text, encoding.owner);
    const side = this.record.localSide;
    if (this.record.hasProcess(side)) return this.#render(encoding.format, side);
    return encoding.text === 'name' ? this.#nonProcess(side) : NOTHING;
  }

  #plainText(text: ProcessText, owner: ProcessSide): Uint8Array {
    const { record } = this;
    const side = owner === 'local' ? record.localSide : owner;
    if (!record.hasProcess(side)) {
      if (text !== 'processName' || !record.isLocal(side)) return NOTHING;
      return this.#nonProcess(side);
    }
    switch (text) {
      case 'processName':
        return this.#commOf(side);
      case 'userName':
        return this.#directory.userNameBytes(record.uid(side));
      default:
        return this.#identityText(side, text);
    }
  }

  #nonProcess(side: FlowSide): Uint8Array {
    return this.#nonProcesses[nonProcessKind(this.record.attributionMethod(side))];
  }

  #commOf(side: FlowSide): Uint8Array {
    this.record.copyComm(side, this.#comm);
    return this.#comm;
  }

  /** Each part is sanitised by itself: what one is cut short by must not run into the next. */
  #render({ parts }: ProcessTextFormat, side: FlowSide): Uint8Array {
    const [only] = parts;
    // As it is by default: the field itself sanitises it.
    if (parts.length === 1 && typeof only === 'string') return this.#valueOf(only, side);
    const rendered = this.#rendered;
    let at = 0;
    for (const part of parts) {
      const text = typeof part === 'string' ? this.#valueOf(part, side) : part;
      const written = writeString(text, 0, text.length, rendered, at, RENDERED_OCTETS - at);
      at += written < 0 ? ~written : written;
      if (written < 0) break;
    }
    rendered[at] = 0;
    return rendered;
  }

  #valueOf(placeholder: Placeholder, side: FlowSide): Uint8Array {
    const { record } = this;
    switch (placeholder) {
      case 'comm':
        return this.#commOf(side);
      case 'user':
        return this.#directory.userNameBytes(record.uid(side));
      case 'pid':
        return this.#decimal(record.pid(side));
      case 'uid':
        return this.#decimal(record.uid(side));
      case 'ppid': {
        const parentPid = this.parentPid(side);
        return parentPid === 0 ? NOTHING : this.#decimal(parentPid);
      }
      default:
        return this.#identityText(side, IDENTITY_PLACEHOLDERS[placeholder]);
    }
  }

  #decimal(value: number): Uint8Array {
    let digits = 1;
    for (let rest = value; rest >= 10; rest = Math.floor(rest / 10)) digits++;
    this.#digits[digits] = 0;
    for (let at = digits - 1, rest = value; at >= 0; at--, rest = Math.floor(rest / 10)) {
      this.#digits[at] = 0x30 + (rest % 10);
    }
    return this.#digits;
  }

  #identityText(side: FlowSide, text: IdentityText): Uint8Array {
    const identity = this.#identity(side);
    return identity === undefined ? NOTHING : this.#identityTexts.octets(identity, text);
  }

  #identity(side: FlowSide): ProcessIdentity | undefined {
    const { record } = this;
    let identity = this.#identities[side];
    if (identity === null) {
      identity = record.hasProcess(side) ? this.#directory.identity(record, side) : undefined;
      this.#identities[side] = identity;
    }
    return identity;
  }
}
