// The processes of the record that is being encoded, as the octets of their names. Nothing is
// allocated for a process that was seen before.
import { PROCESS_OWNER } from '../flow/flow-contract.gen.js';
import { FlowRecord } from '../flow/flow-record.js';
import { nonProcessKind, type NonProcessNames } from '../flow/non-process-names.js';
import type { ProcessDirectory } from '../flow/process-directory.js';
import type { ProcessSide, ProcessText } from '../templates/flow-fields.js';

const NOTHING = new Uint8Array(0);

export class RecordProcesses {
  readonly record = new FlowRecord();
  readonly #directory: ProcessDirectory;
  readonly #nonProcesses: Readonly<Record<keyof NonProcessNames, Uint8Array>>;
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
    }
  }
}
