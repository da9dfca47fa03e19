import { execFileSync } from 'node:child_process';
import t from 'tap';
import { bootEpochMs } from '../../src/flow/clock.js';
import { openKernelClock } from '../../src/bpf-loader/kernel-clock.js';
import { NODE } from '../support/procflow.js';
import { missingRequirement } from '../support/requirements.js';

const CLOCK_REALTIME = 0;
const BOOT_EPOCH_NS = 1_700_000_000_000_000_000n;

/** Clocks that take so long, in nanoseconds, to each reading in turn; then nothing. */
function fakeClocks(steps: readonly bigint[]) {
  const left = [...steps];
  let bootNs = 5_000_000_000n;
  let readings = 0;
  return {
    readings: () => readings,
    clockNs: (clock: number): bigint => {
      readings++;
      bootNs += left.shift() ?? 0n;
      return clock === CLOCK_REALTIME ? BOOT_EPOCH_NS + bootNs : bootNs;
    },
  };
}

const MS = 1_000_000n;
const CASES = [
  { name: 'at once', steps: [0n, 1000n, 1000n], readings: 3, offByMs: 0 },
  { name: 'repeated after an interruption', steps: [0n, 4n * MS, 0n], readings: 6, offByMs: 0 },
  {
    name: 'the closest when each is interrupted',
    steps: [9n, 0n, 9n, 0n, 7n, 0n, 1n, 0n, 3n, 0n, 8n, 0n, 9n, 0n, 0n].map((ms) => ms * MS),
    readings: 15,
    offByMs: 0.5,
  },
];

for (const { name, steps, readings, offByMs } of CASES) {
  t.test(`two clocks are compared: ${name}`, async (t) => {
    const clocks = fakeClocks(steps);
    const found = bootEpochMs(openKernelClock(clocks).bootEpoch()) - Number(BOOT_EPOCH_NS / MS);
    t.ok(Math.abs(found) <= offByMs + 0.001, `${found} ms off`);
    t.equal(clocks.readings(), readings);
  });
}

t.test('the error of a measurement changes no time; a step of the clock does', async (t) => {
  let stepNs = 0n;
  let bootNs = 5_000_000_000n;
  const clock = openKernelClock({
    clockNs: (clock) => {
      bootNs += 20_000n; // a reading takes its time
      return clock === CLOCK_REALTIME ? BOOT_EPOCH_NS + bootNs + stepNs : bootNs;
    },
  });
  const first = clock.bootEpoch();
  stepNs = 99_000n;
  t.same(clock.bootEpoch(), first);
  stepNs = -99_000n;
  t.same(clock.bootEpoch(), first);
  stepNs = 101_000n;
  t.same(clock.bootEpoch(), { ...first, nanoseconds: first.nanoseconds + 101_000 });
  stepNs = -3600n * 1000n * MS;
  t.same(clock.bootEpoch(), { ...first, seconds: first.seconds - 3600 }, 'an hour back');
});

t.test('the real clocks agree with Node within a second', async (t) => {
  const clock = openKernelClock();
  const nowMs = bootEpochMs(clock.bootEpoch()) + Number(clock.bootNs()) / 1e6;
  t.ok(Math.abs(nowMs - Date.now()) < 1000);
});

t.test(
  "in a time namespace the kernel's clock is the same, and so is the time of day",
  { skip: missingRequirement('unshare') },
  async (t) => {
    const module = new URL('../../src/bpf-loader/kernel-clock.js', import.meta.url).href;
    const script = `const { openKernelClock } = await import('${module}');
      const clock = openKernelClock();
      console.log(clock.bootNs() + ' ' + clock.bootEpoch().seconds);`;
    const shifted = ['--time', '--boottime', '1000000', '--fork', '--', ...NODE];
    const before = openKernelClock().bootNs();
    const out = execFileSync('unshare', [...shifted, '--input-type=module', '-e', script], {
      encoding: 'utf8',
    });
    const [bootNs = '', seconds = ''] = out.trim().split(' ');
    const clock = openKernelClock();
    t.ok(BigInt(bootNs) > before && BigInt(bootNs) < clock.bootNs(), 'CLOCK_BOOTTIME');
    t.ok(Math.abs(Number(seconds) - clock.bootEpoch().seconds) <= 1, 'the time of day at its zero');
  },
);
