import t from 'tap';
import {
  interfaceNumbering,
  numberedStatus,
  readInterfaceNumbers,
} from '../../src/daemon/interface-numbers.js';
import type { MeteringStatus } from '../../src/flow/metering-status.js';

const STATUS: MeteringStatus = {
  sampling: { kind: 'none' },
  losses: () => ({ packets: 0, octets: 0, firstMs: undefined, lastMs: undefined }),
  interfaces: () => [
    { index: 1, name: 'lo', description: '' },
    { index: 2, name: 'eth0', description: '' },
  ],
};

t.test('a number in front of an interface is what collectors know it by', async (t) => {
  const { names, numbers } = readInterfaceNumbers(['7:eth0', 'lo', 'eth0:1']);
  t.same(names, ['eth0', 'lo', 'eth0:1']);
  const numberOf = interfaceNumbering(STATUS, numbers);
  t.same(
    [1, 2, 3].map((index) => numberOf?.(index)),
    [1, 7, 3],
  );
  t.match(numberedStatus(STATUS, numbers).interfaces(), [{ index: 1 }, { index: 7 }]);
});

t.test('a number in front of "any" is for all interfaces', async (t) => {
  const { names, numbers } = readInterfaceNumbers(['9:any']);
  t.same(names, ['any']);
  t.equal(interfaceNumbering(STATUS, numbers)?.(5), 9);
});

t.test('without numbers the indexes of the kernel hold', async (t) => {
  const { numbers } = readInterfaceNumbers(['eth0']);
  t.equal(interfaceNumbering(STATUS, numbers), undefined);
  t.equal(numberedStatus(STATUS, numbers), STATUS);
});

t.test('an interface has one number, of 16 bits', async (t) => {
  t.throws(() => readInterfaceNumbers(['1:eth0', '2:eth0']), /-i 2:eth0: eth0 has another/);
  t.throws(() => readInterfaceNumbers(['65536:eth0']), /-i 65536:eth0: is out of range/);
});

t.test('the numbers of interfaces that came and went are not kept for ever', async (t) => {
  let lists = 0;
  const status: MeteringStatus = {
    ...STATUS,
    interfaces: () => {
      lists++;
      return [{ index: 5, name: 'eth0', description: '' }];
    },
  };
  const numberOf = interfaceNumbering(status, new Map([['eth0', 7]]));
  for (let index = 1; index <= 20_000; index++) numberOf?.(index);
  t.equal(numberOf?.(5), 7);
  t.equal(lists, 20_001, 'each once, and the first ones again: they are forgotten');
});
