// Memory for messages: many share a slab, and a slab is used again when all of them have arrived or are
// lost. What is not released is the garbage collector's.
import { viewOf } from '../../flow/flow-record.js';
import type { MessageOctets } from '../records/message-octets.js';

export interface MessageMemory {
  /** To be called once; the octets are another message's then. */
  release(): void;
}

export interface MessageSlab extends MessageOctets, MessageMemory {
  /** For one message more, that is released as well. */
  hold(): MessageMemory;
}

const SLAB_OCTETS = 128 * 1024;
/** As many as a backlog empties in one go at most; beyond it memory goes back. */
const MOST_SPARE_SLABS = 8;

export class MessageSlabs {
  readonly #octets: number;
  readonly #spare: Slab[] = [];

  /** @param leastOctets what a slab has to have room for at least once */
  constructor(leastOctets: number) {
    this.#octets = Math.max(SLAB_OCTETS, leastOctets);
  }

  /** Held by the caller. */
  take(): MessageSlab {
    const slab = this.#spare.pop() ?? new Slab(this.#octets, this.#spare);
    slab.hold();
    return slab;
  }
}

class Slab implements MessageSlab {
  readonly bytes: Buffer;
  readonly view: DataView;
  readonly #spare: Slab[];
  #holders = 0;

  constructor(octets: number, spare: Slab[]) {
    this.bytes = Buffer.allocUnsafeSlow(octets);
    this.view = viewOf(this.bytes);
    this.#spare = spare;
  }

  hold(): this {
    this.#holders++;
    return this;
  }

  release(): void {
    this.#holders--;
    if (this.#holders === 0 && this.#spare.length < MOST_SPARE_SLABS) this.#spare.push(this);
  }
}
