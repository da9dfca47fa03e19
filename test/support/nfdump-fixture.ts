// The cases of nfdump-fixtures/: flows.json -> datagrams.hex -> nfdump.json.
import { createSocket } from 'node:dgram';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { ElementName, TemplateProfile } from '../../src/templates/flow-fields.js';
import { parseProcessTextFormat } from '../../src/templates/process-text-format.js';
import { startDefaultNfcapd } from './default-nfcapd.js';
import type { FlowDescription } from './flow-description.js';
import type { Teardown } from './program.js';
import { directoryOf, recordExport, type Identities } from './recorded-export.js';

/** flows.json of a case. */
export interface NfdumpCase {
  readonly description: string;
  readonly version: 1 | 5 | 9 | 10;
  /** A name, or elements of the user's choice. */
  readonly profile?: TemplateProfile | readonly ElementName[];
  readonly nameFormat?: string;
  readonly isBiflow?: boolean;
  /** How many nfdump prints, where they are not as many as the flows. */
  readonly records?: number;
  readonly identities?: Identities;
  /** One sweep. */
  readonly flows: readonly FlowDescription[];
}

export function caseNames(directory: string): string[] {
  const entries = readdirSync(directory, { withFileTypes: true });
  const folders = entries.filter((entry) => entry.isDirectory());
  return folders.map(({ name }) => name).sort();
}

export function readCase(directory: string): NfdumpCase {
  return JSON.parse(readFileSync(join(directory, 'flows.json'), 'utf8')) as NfdumpCase;
}

/** What is sent for the case: one line of hexadecimal digits a datagram. */
export async function encodeCase({
  version,
  flows,
  profile = 'process',
  nameFormat = '{comm}',
  isBiflow = false,
  identities = {},
}: NfdumpCase): Promise<string> {
  const { sweep, exporter, transport } = await recordExport(version, {
    templates: { profile, nameFormat: parseProcessTextFormat(nameFormat), isBiflow },
    directory: directoryOf(identities),
  });
  await sweep(flows);
  // What waits for its reverse goes out at the end.
  await exporter.close();
  return transport.messages.map((message) => `${message.toString('hex')}\n`).join('');
}

/** What nfdump prints when nfcapd gets these datagrams, but for the time when it got them. */
export async function printByNfdump(t: Teardown, datagrams: string): Promise<string> {
  const nfcapd = await startDefaultNfcapd(t);
  const socket = createSocket('udp4');
  try {
    for (const line of datagrams.trimEnd().split('\n')) {
      await new Promise<void>((resolve, reject) => {
        socket.send(Buffer.from(line, 'hex'), nfcapd.port, '127.0.0.1', (error) => {
          if (error === null) resolve();
          else reject(error);
        });
      });
    }
  } finally {
    socket.close();
  }
  await nfcapd.stop();
  return nfcapd.nfdump('-o', 'json').replaceAll(/^\s*"received" :.*\n/gm, '');
}
