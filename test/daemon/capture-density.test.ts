// Whether a capture is sparse, guessed from its beginning.
import t from 'tap';
import { isSparse } from '../../src/daemon/capture-density.js';
import { pcapFile } from '../support/capture-writer.js';

function capture(frames: number, framesPerSecond: number): Buffer {
  return pcapFile(
    Array.from({ length: frames }, (_, i) => ({
      bytes: Buffer.alloc(20),
      seconds: 1_700_000_000 + Math.floor(i / framesPerSecond),
      nanoseconds: 0,
    })),
  );
}

const CASES = [
  { name: 'a thousand frames a second', file: capture(3000, 1000), sparse: false },
  { name: 'few of them in all', file: capture(900, 1000), sparse: true },
  { name: 'ten frames a second', file: capture(3000, 10), sparse: true },
  { name: 'a thousand frames in four intervals', file: capture(3000, 51), sparse: false },
  { name: 'no capture', file: Buffer.from('GIF89a, or so'), sparse: true },
  { name: 'nothing', file: Buffer.alloc(0), sparse: true },
];

for (const { name, file, sparse } of CASES) {
  t.equal(isSparse(file, 5000), sparse, name);
}
t.equal(isSparse(capture(3000, 1000).subarray(0, -7), 5000), false, 'the end is of no interest');
