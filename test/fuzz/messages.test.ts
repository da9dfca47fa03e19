// Hostile messages of all formats into the decoder, and hostile streams into what splits them: messages or a
// DecodeError, soon and in bounded memory.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { attempt } from '../decoder/attempt.js';
import { WRITTEN_MESSAGES } from '../decoder/written-messages.js';
import { DecodeError } from '../support/decoder/decode-error.js';
import { MessageDecoder } from '../support/decoder/message-decoder.js';
import { MessageSplitter } from '../support/decoder/message-splitter.js';
import { fuzz } from './fuzz-rounds.js';
import { mutate, mutated, type Mutable, type MutateOptions } from './mutate.js';
import type { Random } from './random.js';

const FIXTURES = 'nfdump-fixtures';
const MESSAGES = 500;
const STREAMS = 10;
const MAX_MESSAGE_OCTETS = 1500;
/** Header, set header, the beginning of a template. */
const HEAD_OCTETS = 64;
const LENGTH_AT = 2;

/** Of every format and profile, as the exporter has sent them. */
function exportedDatagrams(): Buffer[] {
  return readdirSync(FIXTURES, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => readFileSync(join(FIXTURES, name, 'datagrams.hex'), 'utf8'))
    .flatMap((text) => text.split('\n'))
    .filter((line) => line !== '')
    .map((line) => Buffer.from(line.replaceAll(' ', ''), 'hex'))
    .filter(({ length }) => length <= MAX_MESSAGE_OCTETS);
}

const others = [...WRITTEN_MESSAGES, ...exportedDatagrams()];
const changes: MutateOptions = { others, head: HEAD_OCTETS, least: 1, most: MAX_MESSAGE_OCTETS };
const ofIpfix = others.filter((message) => message.readUInt16BE() === 10);

const MODES = [false, true].flatMap((isStrict) =>
  [false, true].map((isStream) => ({ isStrict, isStream })),
);

class MessageFuzz {
  readonly #decoders = MODES.map((mode) => new MessageDecoder(mode));
  readonly #message: Mutable = { bytes: Buffer.alloc(MAX_MESSAGE_OCTETS + 64), length: 0 };

  round(random: Random): number {
    const message = this.#message;
    for (let i = 0; i < MESSAGES; i++) {
      mutate(message, random, changes);
      const octets = message.bytes.subarray(0, message.length);
      // With its length right again, what is behind the header is read too.
      if (octets.length >= 4 && octets.readUInt16BE() === 10 && !random.oneIn(4)) {
        octets.writeUInt16BE(octets.length, LENGTH_AT);
      }
      attempt(random.pick(this.#decoders), octets);
    }
    // What was learned of a sender may be forgotten at any time.
    if (random.oneIn(8)) for (const decoder of this.#decoders) decoder.endSession('');
    for (let i = 0; i < STREAMS; i++) expectSameStream(random);
    return MESSAGES;
  }
}

/** In pieces a stream gives the same messages as whole. */
function expectSameStream(random: Random): void {
  const messages = Array.from({ length: random.between(1, 6) }, () =>
    random.oneIn(2) ? random.pick(ofIpfix) : mutated(random, { ...changes, others: ofIpfix }),
  );
  const stream = Buffer.concat(messages);
  const pieces: Buffer[] = [];
  for (let at = 0; at < stream.length;) {
    const end = at + random.between(1, random.oneIn(2) ? 8 : 2000);
    pieces.push(stream.subarray(at, end));
    at = end;
  }
  const [whole, inPieces] = [split([stream]), split(pieces)];
  if (whole !== inPieces) throw new Error(`in pieces ${inPieces}, as a whole ${whole}`);
}

/** The messages' lengths, and what ended them. */
function split(pieces: readonly Buffer[]): string {
  const splitter = new MessageSplitter();
  const found: string[] = [];
  try {
    for (const piece of pieces) {
      for (const message of splitter.push(piece)) found.push(String(message.length));
    }
    splitter.end();
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    found.push(error.code);
  }
  return found.join(' ');
}

t.test('any messages are read, or are an error of the decoder', async (t) => {
  const messages = new MessageFuzz();
  await fuzz(t, 'messages', {
    share: 0.14,
    cases: 'messages',
    leastShare: 1,
    round: (random) => messages.round(random),
  });
});
