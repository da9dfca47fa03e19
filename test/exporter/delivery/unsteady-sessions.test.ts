// Sessions that end after any number of messages, of which any number has arrived: also while the
// exporter has nothing more to send.
import fc from 'fast-check';
import t from 'tap';
import { ExportError } from '../../../src/exporter/export-error.js';
import {
  ScriptedTransport,
  numberedFlows,
  startDelivery,
} from '../../support/scripted-transport.js';

interface Session {
  /** Messages that it takes. */
  readonly taken: number;
  /** Of those. */
  readonly arrived: number;
}

/** Sessions of the script, one after the other; then one that ends no more. */
class UnsteadyTransport extends ScriptedTransport {
  readonly #script: readonly Session[];
  #current: Session | undefined;
  #isLost = true;
  #isQuiet = false;

  constructor(script: readonly Session[]) {
    super();
    this.#script = script;
  }

  /** What the collector has in the end. */
  get arrived(): readonly Buffer[] {
    return this.sessions.flatMap((sent, i) => sent.slice(0, this.#script[i]?.arrived));
  }

  override async ready(): Promise<number> {
    if (this.isClosed) throw new ExportError('not-open', 'send', 'it is closed');
    // Asked again without a message between: the exporter waits for arrivals that never come.
    if (this.#isLost || (this.#isQuiet && this.#current !== undefined)) {
      this.#current = this.#script[this.sessions.length];
      this.sessions.push([]);
      this.#isLost = false;
    }
    this.#isQuiet = true;
    return this.sessions.length;
  }

  override async send(bytes: Buffer, octets: number): Promise<void> {
    this.#isQuiet = false;
    const sent = this.sessions.at(-1) ?? [];
    if (sent.length >= (this.#current?.taken ?? Infinity)) {
      this.#isLost = true;
      throw new ExportError('session-lost', 'send', 'it has ended');
    }
    sent.push(Buffer.from(bytes.subarray(0, octets)));
  }

  override confirmed(): number {
    const sent = this.sessions.at(-1)?.length ?? 0;
    return Math.min(sent, this.#current?.arrived ?? sent);
  }
}

t.test('each message arrives once and in order, whenever sessions end', async (t) => {
  const session = fc.record({ taken: fc.nat(12), arrived: fc.nat(12) });
  await fc.assert(
    fc.asyncProperty(
      fc.array(session, { maxLength: 8 }),
      fc.integer({ min: 1, max: 20 }),
      async (script, count) => {
        const transport = new UnsteadyTransport(script);
        const { delivery, counters, told } = startDelivery(t, transport, { limitOctets: 240 });
        for (let i = 1; i <= count; i++) await delivery.offer(numberedFlows(i));
        await delivery.drain(5000);
        await delivery.stop();
        const found = transport.arrived.map((message) => message.toString('latin1', 16, 19));
        const flows = found.filter((label) => label.startsWith('F'));
        const expected = Array.from({ length: count }, (_, i) => `F${i + 1}`);
        if (String(flows.map((label) => label.replaceAll('\0', ''))) !== String(expected)) {
          throw new Error(`arrived: ${String(flows)}`);
        }
        for (const labels of told()) {
          // Templates first, which are no data records.
          const numbered = labels.every((label, i) => label.endsWith(`#${Math.max(0, i - 1)}`));
          if (!numbered || (labels.length > 0 && labels[0] !== 'T#0')) {
            throw new Error(`a session of ${String(labels)}`);
          }
        }
        if (counters.records !== count || counters.lostRecords !== 0) {
          throw new Error(`counted ${counters.records} and ${counters.lostRecords} lost`);
        }
      },
    ),
    { numRuns: 100 },
  );
  t.pass('none is missing and none comes twice');
});
