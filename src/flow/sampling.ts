// Which packets or flows are metered, where not all are. Counters are not scaled up: collectors do
// that, by what the options say.

export type Sampling =
  | { readonly kind: 'none' }
  /** Every `interval`-th packet. */
  | { readonly kind: 'count'; readonly interval: number }
  /** Each packet with probability 1 / `interval`. */
  | { readonly kind: 'random'; readonly interval: number }
  /** All packets of one in `interval` connections, chosen by a hash; both directions alike. */
  | { readonly kind: 'flow'; readonly interval: number };

export const NO_SAMPLING: Sampling = { kind: 'none' };
