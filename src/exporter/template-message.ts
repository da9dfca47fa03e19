// Messages with nothing but template records. Their content never changes, so they are packed
// once; the header is written anew each time that they are sent.
import type { Template } from '../templates/flow-template.js';
import type { TemplateFormat } from './message-format.js';
import type { ControlMessage } from './outgoing-message.js';

/** As few messages as the limit allows. A template that is alone above the limit stays whole. */
export function packTemplateMessages(
  format: TemplateFormat,
  templates: readonly Template[],
  maxMessageOctets: number,
): ControlMessage[] {
  const groups: Template[][] = [];
  for (const template of templates) {
    const last = groups.at(-1);
    if (last !== undefined && messageOctets(format, [...last, template]) <= maxMessageOctets) {
      last.push(template);
    } else {
      groups.push([template]);
    }
  }
  return groups.map((group) => packTemplateMessage(format, group));
}

/** Length of a message of these templates. Template records are multiples of 4: no padding. */
export function messageOctets(format: TemplateFormat, templates: readonly Template[]): number {
  return templates.reduce(
    (octets, template) => octets + format.templateRecordOctets(template),
    format.headerOctets + format.setHeaderOctets,
  );
}

function packTemplateMessage(format: TemplateFormat, templates: Template[]): ControlMessage {
  const bytes = Buffer.alloc(messageOctets(format, templates));
  const setStart = format.headerOctets;
  let at = setStart + format.setHeaderOctets;
  for (const template of templates) at = format.writeTemplateRecord(template, bytes, at);
  format.writeSetHeader(format.templateSetId, at - setStart, bytes, setStart);
  return { bytes, templateRecords: templates.length, dataRecords: 0 };
}
