// Everything about a collector's messages that is settled before the first flow: the format, the plan
// of each template's records, and the messages with the templates.
import { createHash } from 'node:crypto';
import type { ExportVersion, Template } from '../templates/flow-template.js';
import { IPFIX } from './messages/ipfix.js';
import type { MessageFormat, TemplateFormat } from './messages/message-format.js';
import { NETFLOW_V1 } from './messages/netflow-v1.js';
import { NETFLOW_V5 } from './messages/netflow-v5.js';
import { NETFLOW_V9 } from './messages/netflow-v9.js';
import type { ControlMessage } from './messages/outgoing-message.js';
import { compileRecordPlan, compileRecordPlans, type RecordPlan } from './records/record-plan.js';
import { messageOctets, packTemplateMessages } from './messages/template-message.js';

export interface ExportPlan {
  readonly format: MessageFormat;
  /** The same, where it has templates. */
  readonly templateFormat: TemplateFormat | undefined;
  readonly templates: readonly Template[];
  readonly plans: readonly RecordPlan[];
  readonly templateMessages: readonly ControlMessage[];
  /** Counters of 32 bits. */
  readonly hasWordCounters: boolean;
}

export function planExport(
  version: ExportVersion,
  templates: readonly Template[],
  maxMessageOctets: number,
): ExportPlan {
  const format = messageFormat(version);
  const withTemplates = templateFormat(version);
  return {
    format,
    templateFormat: withTemplates,
    templates,
    plans: compileRecordPlans(templates, maxMessageOctets - overheadOctets(format)),
    templateMessages:
      withTemplates === undefined
        ? []
        : packTemplateMessages(withTemplates, templates, maxMessageOctets),
    hasWordCounters: withTemplates === undefined,
  };
}

/** The same where messages of one can be sent in the name of the other: of the same templates. */
export function fingerprint({ format, templateMessages }: ExportPlan): Buffer {
  const hash = createHash('sha256').update(`${format.headerOctets} ${format.maxRecords}`);
  for (const { bytes } of templateMessages) hash.update(bytes.subarray(format.headerOctets));
  return hash.digest();
}

/** The longest message that cannot be made shorter: one template, or one record. */
export function leastMessageOctets(version: ExportVersion, templates: readonly Template[]): number {
  const format = messageFormat(version);
  const withTemplates = templateFormat(version);
  const lengths = templates.flatMap((template) => [
    withTemplates === undefined ? 0 : messageOctets(withTemplates, [template]),
    overheadOctets(format) + compileRecordPlan(template).maxRecordOctets,
  ]);
  return Math.max(...lengths);
}

/** What a message with one record has besides it. */
function overheadOctets(format: MessageFormat): number {
  return format.headerOctets + format.setHeaderOctets + format.setAlignmentOctets - 1;
}

function messageFormat(version: ExportVersion): MessageFormat {
  if (version === 1) return NETFLOW_V1;
  if (version === 5) return NETFLOW_V5;
  return templateFormat(version) ?? IPFIX;
}

function templateFormat(version: ExportVersion): TemplateFormat | undefined {
  if (version === 9) return NETFLOW_V9;
  return version === 10 ? IPFIX : undefined;
}
