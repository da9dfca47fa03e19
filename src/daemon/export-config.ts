// Which collectors get the flows, and how: from the words of a command line to checked values.
import { readFileSync } from 'node:fs';
import {
  addressText,
  isStream,
  parameterNames,
  readCollectorAddress,
  type AddressDefaults,
  type CollectorAddress,
} from './collector-address.js';
import {
  asConfig,
  readCollectorValues,
  type CollectorSettingTexts,
  type CollectorValues,
} from './collector-settings.js';
import { MAX_SAMPLING_INTERVAL } from '../exporter/messages/netflow-v5.js';
import type { Sampling } from '../flow/sampling.js';
import { parseElementList } from '../templates/element-list.js';
import type { ElementName } from '../templates/flow-fields.js';
import { ConfigError } from './config-error.js';
import { isSpooled, readSpool, type SpoolConfig } from './spool.js';
import type { InterfaceNumbers } from './interface-numbers.js';

export interface CollectorConfig extends Omit<CollectorValues, 'elements'> {
  readonly address: CollectorAddress;
  /** In the place of the profile's. */
  readonly elements: readonly ElementName[] | undefined;
}

export interface ExportConfig {
  readonly collectors: readonly CollectorConfig[];
  /** Each flow goes to one of them, and not to all. */
  readonly isBalanced: boolean;
  /** Of interfaces that collectors know by another number than the kernel's. */
  readonly interfaceNumbers: InterfaceNumbers;
  /** Where messages for TCP and TLS collectors are kept. */
  readonly spool?: SpoolConfig | undefined;
}

export interface ExportSettings extends CollectorSettingTexts {
  /** None: flows are only counted. */
  readonly collector: readonly string[];
  readonly balance?: boolean | undefined;
  /** For collectors without one of their own. */
  readonly source?: string | undefined;
  readonly spool?: string | undefined;
  readonly spoolSize?: string | undefined;
  /** The same of softflowd's -P, -L and -S. */
  readonly transport?: AddressDefaults['scheme'];
  readonly hopLimit?: string | undefined;
  readonly device?: string | undefined;
  readonly interfaceNumbers?: InterfaceNumbers;
  /** softflowd's -b: biflows where the format has them, and not an error elsewhere. */
  readonly isBidirectional?: boolean | undefined;
}

/** @throws ConfigError */
export function readExportConfig(settings: ExportSettings): ExportConfig {
  const collectors = settings.collector.map((text) => readCollector(text, settings));
  // What is wrong is so without a collector, too.
  if (collectors.length === 0) readElements(readCollectorValues('', settings, new Map(), []));
  const texts = collectors.map(
    ({ address, version }) => `${addressText(address)}?version=${version}`,
  );
  const twice = texts.find((text, i) => texts.indexOf(text) < i);
  if (twice !== undefined) {
    const advice = 'it would get every flow twice: give it once';
    throw new ConfigError(`-n ${twice}`, 'is there twice', advice);
  }
  const sources = collectors.flatMap(({ address }) =>
    address.scheme === 'udp' && address.source?.port !== undefined ? [address.source] : [],
  );
  const taken = sources.find(({ address, port }, i) =>
    sources.slice(0, i).some((other) => other.address === address && other.port === port),
  );
  if (taken !== undefined) {
    const advice = 'give each collector a ?source of its own, or no port';
    throw new ConfigError(
      `--source ${taken.address}:${taken.port}`,
      'is for one collector',
      advice,
    );
  }
  const isBalanced = settings.balance ?? false;
  if (isBalanced && collectors.length < 2) {
    throw new ConfigError('--balance', 'there is one collector only', 'give several -n');
  }
  const spool = readSpool(settings.spool, settings.spoolSize);
  if (spool !== undefined && !collectors.some(({ address }) => isSpooled(address))) {
    const reason = 'it is for TCP and TLS collectors, and there is none';
    throw new ConfigError(`--spool ${spool.directory}`, reason, 'give -n tcp://host:port');
  }
  const { interfaceNumbers = new Map() } = settings;
  return { collectors, isBalanced, interfaceNumbers, spool };
}

/**
 * A collector must not be told less than the truth of how packets were sampled.
 * @throws ConfigError
 */
export function checkSampling({ collectors }: ExportConfig, sampling: Sampling): void {
  if (sampling.kind === 'none' || sampling.kind === 'flow') return;
  const isToldInHeader = collectors.some(({ version }) => version === 5);
  if (!isToldInHeader || sampling.interval <= MAX_SAMPLING_INTERVAL) return;
  const setting = `--sampling ${sampling.kind}:${sampling.interval}`;
  const reason = `the header of NetFlow v5 has room for 1 in ${MAX_SAMPLING_INTERVAL}`;
  throw new ConfigError(setting, reason, 'sample more often, or export v9 or IPFIX');
}

function readCollector(text: string, settings: ExportSettings): CollectorConfig {
  const { address, parameters } = readCollectorAddress(text, addressDefaults(settings));
  const usual = isStream(address) ? { version: '10' } : {};
  const texts = { ...usual, ...settings };
  const values = readCollectorValues(text, texts, parameters, parameterNames(address));
  checkFormat(text, address, values);
  const isBidirectional = settings.isBidirectional === true && values.version === 10;
  const biflow = values.biflow || isBidirectional;
  return { address, ...values, biflow, elements: readElements(values) };
}

function addressDefaults(settings: ExportSettings): AddressDefaults {
  const { source, transport, hopLimit, device } = settings;
  const parameters = new Map<string, { option: string; value: string }>();
  const add = (name: string, option: string, value: string | undefined): void => {
    if (value !== undefined) parameters.set(name, { option, value });
  };
  add('source', '--source', source);
  add('hops', '-L', hopLimit);
  add('device', '-S', device);
  return { parameters, ...(transport !== undefined && { scheme: transport }) };
}

/** A list on the command line, or @ and the name of a file that has it. */
function readElements({ elements, version }: CollectorValues): ElementName[] | undefined {
  if (elements === undefined) return undefined;
  const { setting, text } = elements;
  const list = text.startsWith('@') ? readList(setting, text.slice(1)) : text;
  return asConfig(setting, () => parseElementList(list, version));
}

function readList(setting: string, path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : String(error);
    throw new ConfigError(setting, code, 'give the path of a file that can be read');
  }
}

/** What the standards, or the octets of the formats, do not allow. */
function checkFormat(
  text: string,
  address: CollectorAddress,
  { version, biflow }: CollectorValues,
): void {
  if (biflow && version !== 10) {
    const reason = `only IPFIX joins both directions, and this is NetFlow v${version}`;
    throw new ConfigError(`-n ${text}: biflow`, reason, 'give version=10, or no biflow');
  }
  if (!isStream(address) || version === 10) return;
  const reason = `NetFlow v${version} goes in datagrams: nothing in it says where a message ends`;
  throw new ConfigError(`-n ${text}`, reason, 'give version=10 (IPFIX)');
}
