// Plays cases on a stage, each for each family, and judges what procflow exported of them.
import type { Teardown } from '../support/program.js';
import { FAMILIES, type Case, type Truth } from './case.js';
import type { Capture } from './meters.js';
import { judge, skipReason, type Judgement, type Performance } from './judge.js';
import { makeStage, type Stage } from './stage.js';

interface Part {
  readonly number: number;
  readonly case: Case;
  readonly family: (typeof FAMILIES)[number];
}

function inOrder(parts: readonly Part[], performances: readonly Performance[]): Performance[] {
  return parts.flatMap((part) =>
    performances.filter((p) => p.number === part.number && p.family === part.family),
  );
}

async function perform(stage: Stage, part: Part, capture: Capture): Promise<Performance> {
  if (skipReason(part.case, capture) !== undefined) return { ...part, truths: [] };
  try {
    const truths: readonly Truth[] = await part.case.run(stage.scene(part.number, part.family));
    return { ...part, truths };
  } catch (error) {
    return { ...part, truths: [], failure: `did not run: ${String(error)}` };
  }
}

/** One case after the other; those that begin early go on when packets are metered, slow ones run by. */
export async function runCases(
  t: Teardown,
  cases: readonly Case[],
  capture: Capture = 'interface',
): Promise<Judgement> {
  const stage = makeStage(t, cases, capture);
  const parts = cases.flatMap((theCase, i) =>
    (theCase.families ?? FAMILIES).map((family) => ({ number: i + 1, case: theCase, family })),
  );
  const early: Promise<Performance>[] = [];
  for (const part of parts.filter((p) => p.case.isEarly === true)) {
    const performance = perform(stage, part, capture);
    early.push(performance);
    await Promise.race([performance, stage.isWaiting(part.number, part.family)]);
  }
  await stage.startMetering();
  const performances = await Promise.all(early);
  const others = parts.filter((p) => p.case.isEarly !== true);
  const slow = others
    .filter((p) => p.case.isSlow === true)
    .map((part) => perform(stage, part, capture));
  for (const part of others.filter((p) => p.case.isSlow !== true)) {
    performances.push(await perform(stage, part, capture));
  }
  performances.push(...(await Promise.all(slow)));
  const result = await stage.finish();
  return judge(inOrder(parts, performances), result, capture);
}
