// The loaded object means the same bytes as the daemon, and a difference is told by name.
import { readFileSync } from 'node:fs';
import t from 'tap';
import { BpfObject } from '../../src/bpf-loader/bpf-object.js';
import { checkContract, contractDifferences } from '../../src/bpf-loader/contract-check.js';
import { loadLibbpf } from '../../src/bpf-loader/native/libbpf.js';
import { openArgument } from '../../src/bpf-loader/native/libbpf-arguments.js';
import { PROJECT_ROOT } from '../support/requirements.js';
import { cannotLoadPrograms } from '../support/packet-lab.js';

const OBJECT = `${PROJECT_ROOT}/build/bpf/procflow.bpf.o`;

/** Opening needs no privilege; only loading does. */
function objectBtf(): Buffer {
  const libbpf = loadLibbpf('libbpf.so.1');
  libbpf.onPrint(() => undefined);
  const object = libbpf.openFile(OBJECT, openArgument(Buffer.alloc(4096)));
  if (object === null) throw new Error(`cannot open ${OBJECT}`);
  const btf = libbpf.btfBytes(object);
  libbpf.close(object);
  return btf;
}

void t.test('every offset, size and number agrees with the object', async (t) => {
  t.same(contractDifferences(objectBtf()), []);
});

void t.test('a difference names both sides', async (t) => {
  const btf = objectBtf();
  // Rename "octets" in the string table: the structure then has no such field.
  const at = btf.indexOf('\0octets\0');
  t.ok(at > 0);
  btf.write('octetz', at + 1);
  t.same(contractDifferences(btf), [
    'offset of flow_record.octets: 24 in the daemon, missing in the object',
    'size of flow_record.octets: 8 in the daemon, missing in the object',
  ]);
  t.throws(
    () => {
      checkContract(btf, 'object.o');
    },
    { code: 'CONTRACT_MISMATCH', message: /object\.o.*flow_record\.octets: 24 in the daemon/ },
  );
});

void t.test('the object carries no path of the machine that built it', async (t) => {
  t.notOk(readFileSync(OBJECT).includes(PROJECT_ROOT));
});

void t.test('the programs load', { skip: cannotLoadPrograms() }, async (t) => {
  const object = BpfObject.load({ maxEntries: { flows_v4: 16, flows_v6: 16 } });
  t.teardown(() => {
    object.close();
  });
  t.ok(object.programFd('flow_ingress') > 0);
});
