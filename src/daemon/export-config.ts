// Which collectors get the flows, and how: from the words of a command line to checked values.
import {
  addressText,
  parameterNames,
  readCollectorAddress,
  type CollectorAddress,
} from './collector-address.js';
import {
  readCollectorValues,
  type CollectorSettingTexts,
  type CollectorValues,
} from './collector-settings.js';
import { ConfigError } from './config-error.js';

export interface CollectorConfig extends CollectorValues {
  readonly address: CollectorAddress;
}

export interface ExportConfig {
  readonly collectors: readonly CollectorConfig[];
  /** Each flow goes to one of them, and not to all. */
  readonly isBalanced: boolean;
}

export interface ExportSettings extends CollectorSettingTexts {
  /** At least one. */
  readonly collector: readonly string[];
  readonly balance?: boolean | undefined;
  /** For collectors without one of their own. */
  readonly source?: string | undefined;
}

/** @throws ConfigError */
export function readExportConfig(settings: ExportSettings): ExportConfig {
  const collectors = settings.collector.map((text) => readCollector(text, settings));
  const texts = collectors.map(
    ({ address, version }) => `${addressText(address)}?version=${version}`,
  );
  const twice = texts.find((text, i) => texts.indexOf(text) < i);
  if (twice !== undefined) {
    const advice = 'it would get every flow twice: give it once';
    throw new ConfigError(`-n ${twice}`, 'is there twice', advice);
  }
  const isBalanced = settings.balance ?? false;
  if (isBalanced && collectors.length < 2) {
    throw new ConfigError('--balance', 'there is one collector only', 'give several -n');
  }
  return { collectors, isBalanced };
}

function readCollector(text: string, settings: ExportSettings): CollectorConfig {
  const { address, parameters } = readCollectorAddress(text, settings.source);
  const values = readCollectorValues(text, settings, parameters, parameterNames(address));
  checkFormat(text, address, values);
  return { address, ...values };
}

/** What the standards, or the octets of the formats, do not allow. */
function checkFormat(
  text: string,
  { scheme }: CollectorAddress,
  { version, biflow }: CollectorValues,
): void {
  if (biflow && version !== 10) {
    const reason = `only IPFIX joins both directions, and this is NetFlow v${version}`;
    throw new ConfigError(`-n ${text}: biflow`, reason, 'give version=10, or no biflow');
  }
  const isStream = scheme === 'tcp' || scheme === 'tls' || scheme === 'file';
  if (!isStream || version === 10) return;
  const reason = `NetFlow v${version} goes in datagrams: nothing in it says where a message ends`;
  throw new ConfigError(`-n ${text}`, reason, 'give version=10 (IPFIX)');
}
