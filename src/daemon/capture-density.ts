// How many flows a capture file will have at a time, guessed from its beginning: a wrong guess costs
// time and nothing else.
import { CaptureParser } from '../capture-file/capture-parser.js';
import { milliseconds } from './capture-clock.js';

/** Frames of so many sweep intervals can be in the cache together: the shortest timeout has four. */
const INTERVALS = 4;
/** So many of them are not few, if each is a flow. */
const MANY_FRAMES = 1000;

/** Whether few frames come at a time. */
export function isSparse(beginning: Buffer, sweepIntervalMs: number): boolean {
  const parser = new CaptureParser();
  try {
    parser.push(beginning);
    let firstMs: number | undefined;
    for (let frames = 0; frames < MANY_FRAMES; frames++) {
      const frame = parser.next();
      if (frame === undefined) return true;
      const timeMs = milliseconds(frame);
      firstMs ??= timeMs;
      if (Math.abs(timeMs - firstMs) >= INTERVALS * sweepIntervalMs) return true;
    }
    return false;
  } catch {
    // Whoever meters it tells what is wrong with it.
    return true;
  }
}
