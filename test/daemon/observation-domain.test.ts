// The default Observation Domain id: the same after each start, another one for another place, and
// never that of an exporter that runs.
import t from 'tap';
import { claimObservationDomain } from '../../src/daemon/observation-domain.js';
import { startProgram, type Teardown } from '../support/program.js';
import { PROJECT_ROOT } from '../support/requirements.js';

/** A place that no other test, and no procflow on this host, claims. */
function placeOf(name: string): unknown {
  return { test: process.pid, name };
}

async function claim(t: Teardown, place: unknown) {
  const domain = await claimObservationDomain(place);
  t.teardown(domain.close);
  return domain;
}

t.test('the id follows from the place, and is never 0', async (t) => {
  const first = await claimObservationDomain(placeOf('a'));
  first.close();
  const again = await claimObservationDomain(placeOf('a'));
  again.close();
  t.equal(again.id, first.id, 'the same after a restart');
  t.ok(Number.isInteger(first.id) && first.id > 0 && first.id < 2 ** 32);
  const ids = new Set<number>();
  for (let i = 0; i < 100; i++) {
    const { id, close } = await claimObservationDomain(placeOf(`place ${i}`));
    close();
    ids.add(id);
  }
  t.equal(ids.size, 100, 'others for other places');
});

t.test('a second exporter in the same place moves on, until the first has ended', async (t) => {
  const first = await claim(t, placeOf('b'));
  const second = await claim(t, placeOf('b'));
  const third = await claim(t, placeOf('b'));
  t.same([second.id, third.id], [first.id + 1, first.id + 2]);
  second.close();
  const fourth = await claim(t, placeOf('b'));
  t.equal(fourth.id, second.id, 'what was released is free at once');
});

t.test('an id that another process has is not taken, until that ends', async (t) => {
  const { id, close } = await claimObservationDomain(placeOf('c'));
  close();
  const module = `${PROJECT_ROOT}/build/src/daemon/observation-domain.js`;
  const script = `
    const { claimObservationDomain } = await import(${JSON.stringify(module)});
    const { id } = await claimObservationDomain(${JSON.stringify(placeOf('c'))});
    console.log('claimed ' + id);
    process.stdin.resume();`;
  const args = ['-u', 'NODE_OPTIONS', process.execPath, '--input-type=module', '-e', script];
  const other = startProgram(t, 'env', args);
  t.equal(await other.line('out', /^claimed/), `claimed ${id}`);
  const mine = await claim(t, placeOf('c'));
  t.equal(mine.id, id + 1);
  await other.stop('SIGKILL');
  const next = await claim(t, placeOf('c'));
  t.equal(next.id, id, 'also when it was killed');
});

t.test('a claim keeps no process from ending', async (t) => {
  const module = `${PROJECT_ROOT}/build/src/daemon/observation-domain.js`;
  const script = `
    const { claimObservationDomain } = await import(${JSON.stringify(module)});
    await claimObservationDomain(${JSON.stringify(placeOf('d'))});`;
  const args = ['-u', 'NODE_OPTIONS', process.execPath, '--input-type=module', '-e', script];
  await startProgram(t, 'env', args).success();
  t.pass('it ended by itself');
});
