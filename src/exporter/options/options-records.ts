// What the exporting process tells collectors besides flows, from the status of the metering process
// and its own counters: options templates, and from time to time their data (RFC 7011 §4).
import type { MeteringStatus } from '../../flow/metering-status.js';
import type { Sampling } from '../../flow/sampling.js';
import type { Template } from '../../templates/flow-template.js';
import { optionsTemplate, optionsTemplateNames } from '../../templates/options-templates.js';
import type {
  OptionsKind,
  OptionsTemplate,
  OptionsTemplateName,
} from '../../templates/options-templates.js';
import type { ExportStatistics } from '../export-counters.js';
import { ExportError } from '../export-error.js';
import type { TemplateFormat } from '../messages/message-format.js';
import { optionsRecord } from './options-record.js';
import { optionsValues } from './options-values.js';
import type { ControlMessage } from '../messages/outgoing-message.js';
import { packControlMessages, type ControlSet } from '../messages/pack-control-messages.js';

/** What became of the records for this collector. */
export type ExportingStatus = Pick<
  ExportStatistics,
  | 'messages'
  | 'records'
  | 'octets'
  | 'lostRecords'
  | 'lostPackets'
  | 'lostOctets'
  | 'firstLossMs'
  | 'lastLossMs'
>;

export interface OptionsSource {
  readonly status: MeteringStatus;
  readonly exporting: () => ExportingStatus;
}

export interface OptionsSettings {
  readonly format: TemplateFormat;
  /** The templates of flows, whose keys and enterprise elements are told. */
  readonly flowTemplates: readonly Template[];
  readonly kinds: ReadonlySet<OptionsKind>;
  readonly sampling: Sampling;
  readonly maxMessageOctets: number;
  readonly observationDomainId: number;
  /** Which of the exporting processes of this host; its process id, say. */
  readonly exportingProcessId: number;
}

export interface Options {
  /** To be sent wherever templates are. */
  readonly templateMessages: readonly ControlMessage[];
  /** The data, as they are now. */
  readonly dataMessages: (source: OptionsSource) => readonly ControlMessage[];
}

export function createOptions(settings: OptionsSettings): Options {
  const { format, maxMessageOctets } = settings;
  const identity = { ...settings, version: format.version };
  const templates = optionsTemplateNames(settings.kinds)
    .filter((name) => isSent(name, settings.sampling))
    .map((name) => optionsTemplate(format.version, name))
    .filter((template) => template !== undefined);
  const options: Options = {
    templateMessages: templateMessages(format, templates, maxMessageOctets),
    dataMessages: (source) => {
      const now = {
        interfaces: source.status.interfaces(),
        losses: source.status.losses(),
        exporting: source.exporting(),
      };
      const sets = templates.map((template) => ({
        setId: template.id,
        records: optionsValues(template.name, identity, now).map((record) =>
          optionsRecord(template, record),
        ),
      }));
      return packControlMessages(format, sets, maxMessageOctets);
    },
  };
  requireRoom([...options.templateMessages, ...options.dataMessages(SAMPLE)], maxMessageOctets);
  return options;
}

/** Something of everything that is told: the lengths of records hardly depend on it. */
const SAMPLE: OptionsSource = {
  status: {
    sampling: { kind: 'none' },
    interfaces: () => [{ index: 1, name: 'lo', description: '' }],
    losses: () => ({ packets: 1, octets: 1, firstMs: 1, lastMs: 1 }),
  },
  exporting: () => ({
    messages: 1,
    records: 1,
    octets: 1,
    lostRecords: 1,
    lostPackets: 1,
    lostOctets: 1,
    firstLossMs: 1,
    lastLossMs: 1,
  }),
};

/**
 * A record that is alone above the limit would go out in a message above it.
 * @throws ExportError `bad-option`
 */
export function requireRoom(messages: readonly ControlMessage[], maxMessageOctets: number): void {
  const longest = Math.max(0, ...messages.map(({ bytes }) => bytes.length));
  if (longest <= maxMessageOctets) return;
  const operation = `send messages of at most ${maxMessageOctets} octets`;
  const reason = `one with a single options record, or template, has ${longest}`;
  throw new ExportError('bad-option', operation, reason);
}

/**
 * A template that has an element twice comes last, in a message of its own: logstash's codec loses the
 * rest of a message with one.
 */
function templateMessages(
  format: TemplateFormat,
  templates: readonly OptionsTemplate[],
  maxMessageOctets: number,
): readonly ControlMessage[] {
  const pack = (together: readonly OptionsTemplate[]): readonly ControlMessage[] => {
    const sets = together.map((template) => optionsTemplateSet(format, template));
    return packControlMessages(format, sets, maxMessageOctets);
  };
  const alone = templates.filter(repeatsElement);
  const others = templates.filter((template) => !repeatsElement(template));
  return [...pack(others), ...alone.flatMap((template) => pack([template]))];
}

function repeatsElement({ scope, fields }: OptionsTemplate): boolean {
  const types = [...scope, ...fields].map(({ type }) => type);
  return new Set(types).size < types.length;
}

/** A set of its own for each: nfdump and logstash read only the first options template of a set. */
export function optionsTemplateSet(format: TemplateFormat, template: OptionsTemplate): ControlSet {
  const record = Buffer.alloc(format.optionsTemplateRecordOctets(template));
  format.writeOptionsTemplateRecord(template, record, 0);
  return { setId: format.optionsTemplateSetId, records: [record] };
}

/** The ways of sampling that a template speaks of; any, where it is not listed. */
const SAMPLING_KINDS: Readonly<Partial<Record<OptionsTemplateName, readonly Sampling['kind'][]>>> =
  {
    // Their unit is packets: with flows selected, a collector would scale up each of them.
    samplingForNfdump: ['count', 'random'],
    sampling: ['count', 'random'],
    countSelector: ['count'],
    randomSelector: ['random'],
    flowSelector: ['flow'],
  };

/** Without sampling nothing is said of it: nfdump takes whatever it hears for an order to scale. */
function isSent(name: OptionsTemplateName, sampling: Sampling): boolean {
  return SAMPLING_KINDS[name]?.includes(sampling.kind) ?? true;
}
