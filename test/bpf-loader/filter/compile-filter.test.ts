// What libpcap is asked to compile, and how often: it can take minutes for a long expression.
import t from 'tap';
import {
  FilterError,
  openFilterCompiler,
  openLibpcap,
} from '../../../src/bpf-loader/filter/compile-filter.js';
import type { Libpcap } from '../../../src/bpf-loader/native/libpcap.js';

/** The real one, and whether it was to optimize, call by call. */
function recordedLibpcap(): { libpcap: Pick<Libpcap, 'compile'>; calls: boolean[] } {
  const real = openLibpcap();
  const calls: boolean[] = [];
  const compile: Libpcap['compile'] = (expression, link, options) => {
    calls.push(options.optimize);
    return real.compile(expression, link, options);
  };
  return { libpcap: { compile }, calls };
}

const hosts = (count: number): string =>
  Array.from({ length: count }, (_, i) => `host 10.1.${i >> 8}.${i & 0xff}`).join(' or ');

t.test('an expression is compiled once for all networks', async (t) => {
  const { libpcap, calls } = recordedLibpcap();
  const { compile } = openFilterCompiler('udp port 53', libpcap);
  const first = compile({ linkType: 1, netmask: 0 });
  t.same(calls, [false, true]);
  t.equal(compile({ linkType: 1, netmask: 0xffffff00 }), first);
  t.equal(compile({ linkType: 1 }), first);
  t.equal(calls.length, 2);
  t.not(compile({ linkType: 101 }), first, 'another link layer');
  t.equal(calls.length, 4);
});

t.test('one that asks for the mask is compiled for each', async (t) => {
  const { libpcap } = recordedLibpcap();
  const { compile } = openFilterCompiler('ip broadcast', libpcap);
  const first = compile({ linkType: 1, netmask: 0xffffff00 });
  t.notSame(compile({ linkType: 1, netmask: 0xffff0000 }), first);
  t.equal(compile({ linkType: 1, netmask: 0xffffff00 }), first);
  t.throws(() => compile({ linkType: 101 }), /netmask not known/);
});

t.test('an error is remembered too', async (t) => {
  const { libpcap, calls } = recordedLibpcap();
  const { compile } = openFilterCompiler('ether multicast', libpcap);
  for (let i = 0; i < 3; i++) t.throws(() => compile({ linkType: 101 }), FilterError);
  t.equal(calls.length, 1);
});

t.test('a long expression is not optimized, a very long one refused at once', async (t) => {
  const { libpcap, calls } = recordedLibpcap();
  t.ok(openFilterCompiler(hosts(150), libpcap).compile({ linkType: 1 }).length < 8 * 1000);
  t.same(calls.splice(0), [false, true]);
  t.ok(openFilterCompiler(hosts(300), libpcap).compile({ linkType: 1 }).length > 8 * 8000);
  t.same(calls.splice(0), [false]);
  const tooLong = openFilterCompiler(hosts(3000), libpcap);
  t.throws(() => tooLong.compile({ linkType: 1 }), /is too long, of 8999 words: .*"net"/);
  t.same(calls, []);
});

t.test('inbound and outbound are refused in words of their own', async (t) => {
  for (const expression of ['inbound', 'udp and outbound']) {
    const { compile } = openFilterCompiler(expression);
    t.throws(() => compile({ linkType: 1 }), /inbound and outbound are not supported: name/);
  }
});
