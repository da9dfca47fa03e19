// Process names as applications: ids, and when collectors are told what they stand for.
import t from 'tap';
import { ApplicationNames } from '../../../src/exporter/options/application-names.js';
import type { ApplicationNamesOptions } from '../../../src/exporter/options/application-names.js';
import { IPFIX } from '../../../src/exporter/messages/ipfix.js';
import { NETFLOW_V9 } from '../../../src/exporter/messages/netflow-v9.js';
import type { ControlMessage } from '../../../src/exporter/messages/outgoing-message.js';

const ID_OCTETS = 9;
const HEADER_OCTETS = 16;
const REPEAT_MS = 60_000;
/** printf curl | sha256sum */
const CURL_ID = '06' + '427e4b79b1f0fc90'; // user-defined, first eight octets
const SET_OCTETS = 4 + 4 + ID_OCTETS + 32;

function create(options: Partial<ApplicationNamesOptions> = {}): ApplicationNames {
  return new ApplicationNames({
    format: IPFIX,
    exportingProcessId: 0x1234,
    maxMessageOctets: 1372,
    repeatMs: REPEAT_MS,
    ...options,
  });
}

/** Uses a name, as a record does; returns its id. */
function use(names: ApplicationNames, name: string): string {
  const source = Buffer.from(`[${name}]`);
  const out = Buffer.alloc(ID_OCTETS + 2, 0xff);
  names.writeId(source, 1, source.length - 1, out, 1);
  t.same([out[0], out[ID_OCTETS + 1]], [0xff, 0xff], 'nothing beside it is written');
  return out.toString('hex', 1, 1 + ID_OCTETS);
}

/** Names that the messages tell, one set each. */
function told(messages: readonly ControlMessage[]): string[] {
  return messages.flatMap(({ bytes, dataRecords }) => {
    const names: string[] = [];
    for (let at = HEADER_OCTETS; at < bytes.length; at += SET_OCTETS) {
      const text = bytes.toString('utf8', at + 8 + ID_OCTETS, at + SET_OCTETS);
      names.push(text.replaceAll('\0', ''));
    }
    t.equal(dataRecords, names.length);
    return names;
  });
}

t.test('an id is a name, and told before it is used', (t) => {
  const names = create();
  const [template] = names.templateMessages;
  t.equal(
    template?.bytes.toString('hex', HEADER_OCTETS),
    [
      '00030016', // set id, length
      '011200030001', // template id, fields, scope fields
      '00900004', // exportingProcessId
      '005f0009', // applicationId
      '00600020', // applicationName
    ].join(''),
  );
  t.same(names.takeDue(), []);
  const id = use(names, 'curl');
  t.equal(id, CURL_ID);
  const [message, ...others] = names.takeDue();
  t.same(others, []);
  t.equal(
    message?.bytes.toString('hex', HEADER_OCTETS),
    `0112003100001234${id}${'6375726c'.padEnd(64, '0')}`,
  );
  t.same(names.takeDue(), [], 'once');
  t.equal(use(names, 'curl'), id);
  t.same(names.takeDue(), []);
  t.end();
});

t.test('another process, or host, has the same id for a name', (t) => {
  t.equal(use(create(), 'nginx'), use(create({ exportingProcessId: 9 }), 'nginx'));
  t.not(use(create(), 'nginx'), use(create(), 'nginy'));
  t.end();
});

t.test('no name has an id of its own, which is never told', (t) => {
  const names = create();
  t.equal(use(names, ''), '060000000000000000');
  t.same(names.takeDue(), []);
  t.same(names.all(), []);
  t.end();
});

t.test('a name in use is told again when its time is over', (t) => {
  const names = create();
  names.beginSweep(1000);
  use(names, 'curl');
  use(names, 'nginx');
  t.same(told(names.takeDue()), ['curl', 'nginx']);
  names.beginSweep(1000 + REPEAT_MS - 1);
  use(names, 'curl');
  t.same(names.takeDue(), []);
  names.beginSweep(1000 + REPEAT_MS);
  use(names, 'curl');
  use(names, 'curl');
  t.same(told(names.takeDue()), ['curl'], 'the other is not in use');
  t.end();
});

t.test('a new collector is told all, and then nothing twice', (t) => {
  const names = create();
  use(names, 'curl');
  names.takeDue();
  use(names, 'nginx');
  t.same(told(names.all()), ['curl', 'nginx']);
  names.beginSweep(1);
  use(names, 'curl');
  t.same(names.takeDue(), []);
  t.end();
});

t.test('what was not used for longest is forgotten, and told when it comes back', (t) => {
  const names = create({ maxNames: 3 });
  const ids = ['a', 'b', 'c'].map((name) => use(names, name));
  use(names, 'a');
  use(names, 'd');
  names.takeDue();
  t.same(told(names.all()).sort(), ['a', 'c', 'd']);
  t.equal(use(names, 'b'), ids[1], 'under its old id');
  t.same(told(names.takeDue()), ['b']);
  t.end();
});

t.test('many names are many sets, in messages within their limit', (t) => {
  const names = create({ maxMessageOctets: 512 });
  const all = Array.from({ length: 100 }, (_, i) => `process-${i}`);
  for (const name of all) use(names, name);
  const messages = names.takeDue();
  t.same(told(messages), all);
  t.ok(messages.every(({ bytes }) => bytes.length <= 512));
  t.equal(messages.length, 10); // 496 octets beside the header hold 10 sets of 49
  t.end();
});

t.test('a long name is cut at a character', (t) => {
  const names = create();
  use(names, 'é'.repeat(20));
  t.same(told(names.takeDue()), ['é'.repeat(15)]);
  t.end();
});

t.test('v9 has no need of it', (t) => {
  t.throws(() => create({ format: NETFLOW_V9 }), /version 9/);
  t.end();
});
