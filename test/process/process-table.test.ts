import fc from 'fast-check';
import t from 'tap';
import { ProcessTable, type KnownProcess } from '../../src/process/process-table.js';

function known(pid: number, startNs = 1, execId = 1): KnownProcess {
  return { pid, startNs, execId, parentPid: 0, parentName: '', program: undefined, isAsked: false };
}

t.test('a process is found by pid, start and count of execs', async (t) => {
  const table = new ProcessTable({ maxProcesses: 10, retainMs: 1000 });
  const first = known(7, 1, 1);
  const reused = known(7, 2, 1);
  const afterExec = known(7, 2, 2);
  for (const process of [first, reused, afterExec]) table.add(process);
  t.equal(table.find(known(7, 1, 1)), first);
  t.equal(table.find(known(7, 2, 1)), reused);
  t.equal(table.find(known(7, 2, 2)), afterExec);
  for (const other of [known(8), known(7, 3, 1), known(7, 1, 2)]) {
    t.equal(table.find(other), undefined);
  }
});

t.test('the current program is the one that has not ended', async (t) => {
  const table = new ProcessTable({ maxProcesses: 10, retainMs: 1000 });
  const before = known(7, 1, 1);
  const after = known(7, 1, 2);
  table.add(before);
  table.add(after);
  table.end(7, 1, 0, after);
  t.equal(table.current(7, 1), after);
  table.end(7, 1, 0);
  t.equal(table.current(7, 1), undefined);
  t.equal(table.find(before), before, 'but its flows find it');
});

t.test('without room those go first that ended first, then those not asked for', async (t) => {
  const table = new ProcessTable({ maxProcesses: 4, retainMs: 1000 });
  for (const pid of [1, 2, 3, 4]) table.add(known(pid));
  table.end(3, 1, 10);
  table.end(2, 1, 20);
  table.find(known(1)); // 4 is now the living one that was used the longest ago
  const gone: number[] = [];
  for (const pid of [5, 6, 7, 8]) {
    const before = [1, 2, 3, 4].filter((old) => !gone.includes(old));
    table.add(known(pid));
    // find() counts as a use, so only those that are expected to be gone are asked for
    const expected = [3, 2, 4, 1][pid - 5] ?? 0;
    t.ok(before.includes(expected));
    t.equal(table.find(known(expected)), undefined, `${expected} went for ${pid}`);
    gone.push(expected);
  }
  t.equal(table.evicted, 4);
  t.equal(table.size, 4);
});

t.test('one that has ended is kept for its time, and then forgotten', async (t) => {
  const table = new ProcessTable({ maxProcesses: 10, retainMs: 1000 });
  table.add(known(1));
  table.add(known(2));
  table.end(1, 1, 500);
  table.expire(1499);
  t.ok(table.find(known(1)));
  table.expire(1500);
  t.equal(table.find(known(1)), undefined);
  t.ok(table.find(known(2)));
  t.equal(table.evicted, 0, 'which is no eviction');
});

t.test('is never larger than allowed, and gives only what it was given', async () => {
  const small = fc.integer({ min: 1, max: 4 });
  const act = fc.record({ verb: fc.constantFrom('add', 'end', 'find', 'expire'), pid: small });
  const step = fc.tuple(act, small, small);
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const table = new ProcessTable({ maxProcesses: 5, retainMs: 20 });
      let nowMs = 0;
      for (const [{ verb, pid }, startNs, execId] of steps) {
        nowMs++;
        const key = known(pid, startNs, execId);
        if (verb === 'add') table.add(key);
        if (verb === 'end') table.end(pid, startNs, nowMs);
        if (verb === 'expire') table.expire(nowMs);
        const found = table.find(key);
        if (verb === 'add' && found !== key) throw new Error('what was just added is not there');
        if (found !== undefined && (found.pid !== pid || found.startNs !== startNs)) {
          throw new Error('another process');
        }
        if (table.size > 5) throw new Error(`${table.size} processes`);
      }
    }),
  );
});
