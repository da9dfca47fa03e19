// Process names as applications, for nfdump, which reads no name from IPFIX but that of an application:
// a record has the id, and an options record before it says which name the id stands for.
import { createHash } from 'node:crypto';
import type { ExportVersion, TemplateOptions } from '../../templates/flow-template.js';
import { APPLICATION_ID_OCTETS, optionsTemplate } from '../../templates/options-templates.js';
import type { OptionsTemplate } from '../../templates/options-templates.js';
import { IPFIX } from '../messages/ipfix.js';
import type { TemplateFormat } from '../messages/message-format.js';
import { optionsRecord } from './options-record.js';
import { optionsTemplateSet, requireRoom } from './options-records.js';
import type { ControlMessage } from '../messages/outgoing-message.js';
import { packControlMessages } from '../messages/pack-control-messages.js';
import type { ControlMessages } from '../delivery/transport-session.js';

export interface ApplicationNamesOptions {
  /** IPFIX: v9 has a field for the name itself. */
  readonly format: TemplateFormat;
  readonly exportingProcessId: number;
  readonly maxMessageOctets: number;
  /** A name in use is told again this often: nfdump reads each of its files by itself. */
  readonly repeatMs: number;
  readonly maxNames?: number;
}

export const DEFAULT_MAX_APPLICATION_NAMES = 4096;
const DEFAULT_APPLICATION_NAME_REPEAT_MS = 60_000;

/** RFC 6759: applications that the user defined. No enterprise's numbers are taken for it. */
const USER_DEFINED = 6;
const SELECTOR_OCTETS = APPLICATION_ID_OCTETS - 1;
/** No process, no name: it is never told. */
const NO_APPLICATION = Buffer.alloc(APPLICATION_ID_OCTETS);
NO_APPLICATION.writeUInt8(USER_DEFINED);

interface Entry {
  readonly id: Buffer;
  readonly name: string;
  toldMs: number;
}

export class ApplicationNames {
  /** To be sent wherever templates are. */
  readonly templateMessages: readonly ControlMessage[];
  readonly #options: ApplicationNamesOptions;
  readonly #template: OptionsTemplate;
  /** By the octets of the name; the one that was used last is the last. */
  readonly #entries = new Map<string, Entry>();
  readonly #due = new Set<Entry>();
  #latest: Entry | undefined;
  #nowMs = 0;

  constructor(options: ApplicationNamesOptions) {
    const { format, maxMessageOctets } = options;
    const template = optionsTemplate(format.version, 'applicationNames');
    if (template === undefined) throw new Error(`version ${format.version} has no applications`);
    this.#options = options;
    this.#template = template;
    const sets = [optionsTemplateSet(format, template)];
    this.templateMessages = packControlMessages(format, sets, maxMessageOctets);
    const sample = { id: NO_APPLICATION, name: '', toldMs: 0 };
    requireRoom([...this.templateMessages, ...this.#tell([sample])], maxMessageOctets);
  }

  /** Names that were told before `nowMs - repeatMs` are due again. */
  beginSweep(nowMs: number): void {
    this.#nowMs = nowMs;
  }

  /** Writes the id of a name, sanitised as writeString does, that stands in name[start...end]. */
  writeId(name: Buffer, start: number, end: number, out: Buffer, at: number): void {
    if (start === end) {
      NO_APPLICATION.copy(out, at);
      return;
    }
    const key = name.toString('latin1', start, end);
    let entry = this.#entries.get(key);
    if (entry === undefined) {
      const octets = name.subarray(start, end);
      entry = { id: applicationId(octets), name: octets.toString(), toldMs: -Infinity };
    }
    if (entry !== this.#latest) this.#use(key, entry);
    if (this.#nowMs - entry.toldMs >= this.#options.repeatMs) this.#due.add(entry);
    entry.id.copy(out, at);
  }

  /** What is to be sent before the records that were written last; it is taken for sent. */
  takeDue(): readonly ControlMessage[] {
    if (this.#due.size === 0) return [];
    const due = [...this.#due];
    this.#due.clear();
    return this.#tell(due);
  }

  /** All names, for a collector that knows none yet. */
  all(): readonly ControlMessage[] {
    // Due ones may have been crowded out, and a message that refers to them still waits.
    const entries = new Set([...this.#entries.values(), ...this.#due]);
    this.#due.clear();
    return this.#tell([...entries]);
  }

  #use(key: string, entry: Entry): void {
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    this.#latest = entry;
    const { maxNames = DEFAULT_MAX_APPLICATION_NAMES } = this.#options;
    if (this.#entries.size <= maxNames) return;
    const oldest = this.#entries.keys().next();
    if (oldest.done !== true) this.#entries.delete(oldest.value);
  }

  #tell(entries: readonly Entry[]): readonly ControlMessage[] {
    const { format, exportingProcessId, maxMessageOctets } = this.#options;
    const sets = entries.map((entry) => {
      entry.toldMs = this.#nowMs;
      const values = { exporter: exportingProcessId, application: entry.id, name: entry.name };
      // nfdump 1.7.1 reads only the first record of a set.
      return { setId: this.#template.id, records: [optionsRecord(this.#template, values)] };
    });
    return packControlMessages(format, sets, maxMessageOctets);
  }
}

/** Only where the templates refer to them. v9 has the name itself in its records. */
export function createApplicationNames(
  version: ExportVersion,
  templates: Partial<TemplateOptions> | undefined,
  maxMessageOctets: number,
): ApplicationNames | undefined {
  if (version !== 10 || templates?.hasApplicationId !== true) return undefined;
  return new ApplicationNames({
    format: IPFIX,
    exportingProcessId: process.pid,
    maxMessageOctets,
    repeatMs: DEFAULT_APPLICATION_NAME_REPEAT_MS,
  });
}

/** The names among what else a collector is told. */
export function withApplicationNames(
  control: ControlMessages,
  names: ApplicationNames | undefined,
): ControlMessages {
  if (names === undefined) return control;
  return {
    templates: () => [...control.templates(), ...names.templateMessages, ...names.all()],
    options: control.options,
    announcements: () => names.takeDue(),
  };
}

/**
 * A hash of the name and not a number in turn: nfdump has one table for all exporters, and keeps it
 * over the restart of one. Sixty-four bits let no two names of a network meet.
 */
function applicationId(name: Buffer): Buffer {
  const id = Buffer.alloc(APPLICATION_ID_OCTETS);
  id.writeUInt8(USER_DEFINED);
  createHash('sha256').update(name).digest().copy(id, 1, 0, SELECTOR_OCTETS);
  return id;
}
