// A name whose addresses a test changes, and the notices of whoever looks it up.
import { once, EventEmitter } from 'node:events';
import type { NameLookup } from '../../src/exporter/transports/endpoint.js';

export class ChangingName {
  /** None: the name does not exist. */
  addresses: readonly string[];
  /** Those that nextNotice() has not given yet. */
  readonly notices: string[] = [];
  readonly #events = new EventEmitter();
  #lookups = 0;

  constructor(...addresses: readonly string[]) {
    this.addresses = addresses;
  }

  readonly lookUp: NameLookup = async () => {
    this.#lookups++;
    this.#events.emit('lookup');
    if (this.addresses.length === 0) throw Object.assign(new Error(), { code: 'ENOTFOUND' });
    return this.addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }));
  };

  readonly notice = (text: string): void => {
    this.notices.push(text);
    this.#events.emit('notice');
  };

  /** Until the name has been looked up so often from now on, the last answer taken. */
  async lookedUp(times: number): Promise<void> {
    // One more: the next begins only after what the last one gave has been dealt with.
    const enough = this.#lookups + times + 1;
    while (this.#lookups < enough) await once(this.#events, 'lookup');
  }

  async nextNotice(): Promise<string> {
    while (this.notices.length === 0) await once(this.#events, 'notice');
    return this.notices.shift() ?? '';
  }
}
