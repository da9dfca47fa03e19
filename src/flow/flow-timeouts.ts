// When flows leave the cache: the timeouts by the names that softflowd gave them.

/** In milliseconds; Infinity: never. */
export interface FlowTimeouts {
  /** A flow that goes on is reported this often (the active timeout). */
  readonly maxlife: number;
  /** Silence after which a flow has ended, where none of the others applies. */
  readonly general: number;
  readonly tcp: number;
  /** After a RST, and after a FIN. */
  readonly 'tcp.rst': number;
  readonly 'tcp.fin': number;
  readonly udp: number;
  readonly icmp: number;
}
