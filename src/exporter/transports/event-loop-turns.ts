// Leave for other work. A send that the kernel takes at once resolves without a turn of the event
// loop: thousands in a row would hold up timers, sweeps, and the news of a connection's end.

const LONGEST_MS = 4;

/** Resolves at once, or, when the last turn is some milliseconds ago, after one. */
export type TakeTurn = () => Promise<void>;

export function createTurns(): TakeTurn {
  let lastMs = -Infinity;
  return async () => {
    if (performance.now() - lastMs < LONGEST_MS) return;
    await nextTurn();
    lastMs = performance.now();
  };
}

export function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
