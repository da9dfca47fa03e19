// The processes of the record that is being encoded, as the octets of their names. Nothing is
// allocated for a process that was seen before.
import { PROCESS_OWNER } from '../flow/flow-contract.gen.js';
import { FlowRecord, type FlowSide } from '../flow/flow-record.js';
import { nonProcessKind, type NonProcessNames } from '../flow/non-process-names.js';
import type { ProcessDirectory, ProcessIdentity } from '../flow/process-directory.js';
import type { ProcessSide, ProcessText } from '../templates/flow-fields.js';

type IdentityText = 'parentName' | 'commandLine' | 'containerId';

const NOTHING = new Uint8Array(0);

export class RecordProcesses {
  readonly record = new FlowRecord();
  readonly #directory: ProcessDirectory;
  readonly #nonProcesses: Readonly<Record<keyof NonProcessNames, Uint8Array>>;
  /** What was made of an identity; it never changes. */
  readonly #encoded = new WeakMap<ProcessIdentity, Record<IdentityText, Uint8Array>>();
  /** Asked for once a record and side; null: not yet. */
  readonly #identities: Record<FlowSide, ProcessIdentity | undefined | null> = {
    source: null,
    destination: null,
  };
  /** A comm, NUL padded; used anew for each. */
  readonly #comm = Buffer.alloc(PROCESS_OWNER.fields.comm.size);

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
  text(text: ProcessText, owner: ProcessSide): Uint8Array {
    const { record } = this;
    const side = owner === 'local' ? record.localSide : owner;
    if (!record.hasProcess(side)) {
      if (text !== 'processName' || !record.isLocal(side)) return NOTHING;
      return this.#nonProcesses[nonProcessKind(record.attributionMethod(side))];
    }
    switch (text) {
      case 'processName':
        record.copyComm(side, this.#comm);
        return this.#comm;
      case 'userName':
        return this.#directory.userNameBytes(record.uid(side));
      default:
        return this.#identityText(side, text);
    }
  }

  #identityText(side: FlowSide, text: IdentityText): Uint8Array {
    const identity = this.#identity(side);
    if (identity === undefined) return NOTHING;
    let encoded = this.#encoded.get(identity);
    if (encoded === undefined) {
      encoded = {
        parentName: Buffer.from(identity.parentName),
        commandLine: Buffer.from(identity.commandLine),
        containerId: Buffer.from(identity.containerId),
      };
      this.#encoded.set(identity, encoded);
    }
    return encoded[text];
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
