// What a benchmark opened is closed again in reverse order, as tap does it for a test.
import type { Teardown } from '../../test/support/program.js';

type Release = () => void | Promise<void>;

export async function withCleanup<Result>(body: (t: Teardown) => Promise<Result>): Promise<Result> {
  const releases: Release[] = [];
  try {
    return await body({
      teardown: (release) => {
        releases.push(release);
      },
    });
  } finally {
    for (let release = releases.pop(); release !== undefined; release = releases.pop()) {
      await release();
    }
  }
}
