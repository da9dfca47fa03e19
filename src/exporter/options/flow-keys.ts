// Which fields of a template are the flow's key (RFC 7011 §4.4).
import type { ElementName } from '../../templates/flow-fields.js';
import type { Template } from '../../templates/flow-template.js';

/** What the key of the kernel's flow cache holds: struct flow_key_v4 and _v6 in bpf/flow_cache.h. */
const FLOW_KEYS: ReadonlySet<ElementName> = new Set([
  'sourceIPv4Address',
  'destinationIPv4Address',
  'sourceIPv6Address',
  'destinationIPv6Address',
  'icmpTypeCodeIPv4',
  'icmpTypeCodeIPv6',
  'sourceTransportPort',
  'destinationTransportPort',
  'protocolIdentifier',
  'flowDirection',
  'ingressInterface',
  'egressInterface',
] as const);

const BITS = 64n;

/** flowKeyIndicator: bit n, from the lowest, for the n-th field, the first 64 fields. */
export function flowKeyIndicator({ fields }: Pick<Template, 'fields'>): bigint {
  return fields.reduce(
    (bits, { element, enterprise }, index) =>
      // A biflow has the key of its forward direction (RFC 5103 §4).
      enterprise === 0 && FLOW_KEYS.has(element)
        ? BigInt.asUintN(Number(BITS), bits | (1n << BigInt(index)))
        : bits,
    0n,
  );
}
