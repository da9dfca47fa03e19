import fc from 'fast-check';
import t from 'tap';
import { PROCESS_EVENT_KIND } from '../../src/flow/flow-contract.gen.js';
import { decodeProcessEvents, joinArguments } from '../../src/process/process-event.js';
import { eventBytes } from '../support/process-event-bytes.js';

const { PROCESS_EXECUTED, PROCESS_EXITED, PROCESS_FORKED } = PROCESS_EVENT_KIND;

t.test('events of any length stand one after the other', async (t) => {
  const bytes = Buffer.concat([
    eventBytes({ kind: PROCESS_FORKED, pid: 7 }),
    eventBytes({
      ...{ kind: PROCESS_EXECUTED, pid: 7, execId: 2, startNs: 12_345_678_901n, cgroupId: 99n },
      ...{ parentPid: 5, parentStartNs: 11n, parentName: 'fifteen letters' },
      ...{ executable: '/usr/bin/curl', arguments: ['curl', '-s', 'http://a/ü'] },
    }),
    eventBytes({ kind: PROCESS_EXITED, pid: 7 }),
  ]);
  const events = decodeProcessEvents(bytes);
  t.same(
    events.map(({ kind }) => kind),
    ['forked', 'executed', 'exited'],
  );
  t.same(events[1], {
    ...{ kind: 'executed', pid: 7, execId: 2, startNs: 12_345_678_901, cgroupId: 99n },
    ...{ parentPid: 5, parentStartNs: 11, parentName: 'fifteen letters' },
    ...{ executable: '/usr/bin/curl', commandLine: 'curl -s http://a/ü' },
  });
});

t.test('the executable of a script is its interpreter', async (t) => {
  const [event] = decodeProcessEvents(
    eventBytes({
      ...{ kind: PROCESS_EXECUTED, isScript: true, executable: './deploy' },
      arguments: ['/usr/bin/python3', './deploy', 'now'],
    }),
  );
  t.match(event, {
    executable: '/usr/bin/python3',
    commandLine: '/usr/bin/python3 ./deploy now',
  });
});

t.test('arguments are joined by one space', async (t) => {
  for (const { name, bytes, expected } of [
    { name: 'usual', bytes: 'ls\0-l\0', expected: 'ls -l' },
    { name: 'an empty one stays', bytes: 'grep\0\0x\0', expected: 'grep  x' },
    {
      name: 'rewritten by the process, padded',
      bytes: 'nginx: worker\0\0\0',
      expected: 'nginx: worker',
    },
    { name: 'without a last NUL', bytes: 'a\0b', expected: 'a b' },
    { name: 'none', bytes: '', expected: '' },
  ]) {
    t.equal(joinArguments(Buffer.from(bytes)), expected, name);
  }
  t.equal(joinArguments(Buffer.from('aü').subarray(0, 2)), 'a', 'cut within a character');
});

t.test('any octets give events or none', async () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 1000 }), (garbage) => {
      for (const event of decodeProcessEvents(Buffer.from(garbage))) {
        if (event.commandLine.length > 1000) throw new Error('longer than what it was made from');
      }
    }),
  );
});

t.test('what is cut off is no event', async (t) => {
  const whole = eventBytes({ kind: PROCESS_EXECUTED, executable: '/bin/x', arguments: ['x'] });
  for (let length = 0; length < whole.length; length++) {
    t.same(decodeProcessEvents(whole.subarray(0, length)), [], `${length} octets`);
  }
});
