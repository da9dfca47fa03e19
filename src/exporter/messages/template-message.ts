// Messages with nothing but template records. Their content never changes, so they are packed
// once; the header is written anew each time that they are sent.
import type { Template } from '../../templates/flow-template.js';
import type { TemplateFormat } from './message-format.js';
import type { ControlMessage } from './outgoing-message.js';
import { packControlMessages } from './pack-control-messages.js';

/** As few messages as the limit allows. A template that is alone above the limit stays whole. */
export function packTemplateMessages(
  format: TemplateFormat,
  templates: readonly Template[],
  maxMessageOctets: number,
): ControlMessage[] {
  const records = templates.map((template) => {
    const record = Buffer.alloc(format.templateRecordOctets(template));
    format.writeTemplateRecord(template, record, 0);
    return record;
  });
  return packControlMessages(format, [{ setId: format.templateSetId, records }], maxMessageOctets);
}

/** Length of a message of these templates. Template records are multiples of 4: no padding. */
export function messageOctets(format: TemplateFormat, templates: readonly Template[]): number {
  return templates.reduce(
    (octets, template) => octets + format.templateRecordOctets(template),
    format.headerOctets + format.setHeaderOctets,
  );
}
