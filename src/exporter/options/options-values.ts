// What stands in each options data record, as values by name.
import type { MeteredInterface, MeteringLosses } from '../../flow/metering-status.js';
import type { Sampling } from '../../flow/sampling.js';
import type { Template } from '../../templates/flow-template.js';
import type { OptionsTemplateName } from '../../templates/options-templates.js';
import { elementTypes } from './element-types.js';
import { flowKeyIndicator } from './flow-keys.js';
import type { OptionsValues } from './options-record.js';
import type { ExportingStatus } from './options-records.js';

interface Identity {
  readonly version: 9 | 10;
  readonly flowTemplates: readonly Template[];
  readonly sampling: Sampling;
  readonly observationDomainId: number;
  readonly exportingProcessId: number;
}

interface StatusNow {
  readonly interfaces: readonly MeteredInterface[];
  readonly losses: MeteringLosses;
  readonly exporting: ExportingStatus;
}

/** samplingAlgorithm (RFC 3954 §8). */
const DETERMINISTIC = 1;
const RANDOM = 2;
/** selectorAlgorithm (RFC 5477) and flowSelectorAlgorithm (RFC 7014), which agree in these. */
const SYSTEMATIC_COUNT_BASED = 1;
const UNIFORM_PROBABILISTIC = 4;
/** One selector is all that there is. */
const SELECTOR = 1;

/** The records of that template, none where there is nothing to say. */
export function optionsValues(
  name: OptionsTemplateName,
  identity: Identity,
  { interfaces, losses, exporting }: StatusNow,
): readonly OptionsValues[] {
  const { version, flowTemplates } = identity;
  const process = { domain: identity.observationDomainId, exporter: identity.exportingProcessId };
  switch (name) {
    case 'interfaces':
    case 'interfacesForNfdump':
      return interfaces.map((metered) => ({ ...process, ...interfaceValues(metered) }));
    case 'samplingForNfdump':
    case 'sampling':
    case 'countSelector':
    case 'randomSelector':
    case 'flowSelector':
      return samplingValues(name, process, identity.sampling);
    case 'meteringStatistics': {
      const { messages, records, octets } = exporting;
      return [{ ...process, messages, records, octets }];
    }
    case 'meteringReliability':
    case 'meteringLosses': {
      const { packets, octets, firstMs, lastMs } = losses;
      const isTimed = hasTime(version, firstMs);
      if (isTimed !== (name === 'meteringLosses')) return [];
      return [{ ...process, packets, octets, ...interval(firstMs, lastMs) }];
    }
    case 'exportingReliability':
    case 'exportingLosses': {
      const { lostRecords, lostPackets, lostOctets, firstLossMs, lastLossMs } = exporting;
      const isTimed = hasTime(version, firstLossMs);
      if (isTimed !== (name === 'exportingLosses')) return [];
      const counts = { records: lostRecords, packets: lostPackets, octets: lostOctets };
      return [{ ...process, ...counts, ...interval(firstLossMs, lastLossMs) }];
    }
    case 'flowKeys':
      return flowTemplates.map((template) => ({
        template: template.id,
        flowKeys: flowKeyIndicator(template),
      }));
    case 'elementTypes':
      return elementTypes(flowTemplates);
    case 'applicationNames':
      return [];
  }
}

/** nfdump shows the description as the interface's name: it begins with it. */
function interfaceValues({ index, name, description }: MeteredInterface): OptionsValues {
  const text = description === '' || description === name ? name : `${name}: ${description}`;
  return { interface: index, name, description: text };
}

function samplingValues(
  name: OptionsTemplateName,
  process: OptionsValues,
  sampling: Sampling,
): readonly OptionsValues[] {
  if (sampling.kind === 'none') return [];
  const { kind, interval } = sampling;
  switch (name) {
    case 'samplingForNfdump':
    case 'sampling':
      return [{ ...process, interval, algorithm: kind === 'count' ? DETERMINISTIC : RANDOM }];
    case 'countSelector': {
      // One packet is taken, the others of the interval are the space up to the next.
      const spacing = { interval: 1, space: interval - 1 };
      return [{ selector: SELECTOR, algorithm: SYSTEMATIC_COUNT_BASED, ...spacing }];
    }
    default:
      // A hash that knows nothing of the flow takes each with the same probability.
      return [{ selector: SELECTOR, algorithm: UNIFORM_PROBABILISTIC, probability: 1 / interval }];
  }
}

/** v9 has losses without a time only. */
function hasTime(version: 9 | 10, firstMs: number | undefined): boolean {
  return version === 10 && firstMs !== undefined;
}

function interval(firstMs = 0, lastMs = firstMs): OptionsValues {
  return { first: Math.floor(firstMs), last: Math.floor(lastMs) };
}
