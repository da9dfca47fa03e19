// Each rule about who may import whom is tried on a line that breaks it and on one that does not,
// so that a typing mistake in the table or in the configuration cannot switch a rule off.
import { ESLint } from 'eslint';
import t from 'tap';
import tseslint from 'typescript-eslint';

const FOLDERS = 'procflow/folders';
const DEFAULT_EXPORT = 'procflow/no-default-export';

interface Case {
  readonly file: string;
  readonly code: string;
  readonly rule?: string;
}

const refused: readonly Case[] = [
  { file: 'src/flow/a.ts', code: "import '../process/user-names.js';", rule: FOLDERS },
  { file: 'src/process/a.ts', code: "import '../bpf-loader/btf.js';", rule: FOLDERS },
  { file: 'src/templates/a.ts', code: "import '../exporter/packing.js';", rule: FOLDERS },
  { file: 'src/exporter/a.ts', code: "import '../bpf-loader/btf.js';", rule: FOLDERS },
  { file: 'src/exporter/a.ts', code: "import '../process/user-names.js';", rule: FOLDERS },
  { file: 'src/exporter/v9/a.ts', code: "import '../../daemon/config.js';", rule: FOLDERS },
  { file: 'src/bpf-loader/a.ts', code: "import '../exporter/packing.js';", rule: FOLDERS },
  { file: 'src/daemon/a.ts', code: "import '../cli/main.js';", rule: FOLDERS },
  { file: 'src/cli/a.ts', code: "import '../bpf-loader/btf.js';", rule: FOLDERS },
  { file: 'src/cli/a.ts', code: "import type { X } from '../exporter/x.js';", rule: FOLDERS },
  { file: 'src/cli/a.ts', code: "export * from '../process/user-names.js';", rule: FOLDERS },
  { file: 'src/cli/a.ts', code: "await import('../process/user-names.js');", rule: FOLDERS },
  { file: 'src/cli/a.ts', code: "type X = import('../exporter/x.js').X;", rule: FOLDERS },
  { file: 'src/flow/a.ts', code: "import '../../test/fixture.js';", rule: FOLDERS },
  { file: 'src/unheard-of/a.ts', code: "import '../flow/clock.js';", rule: FOLDERS },
  { file: 'src/bpf-loader/a.ts', code: "import koffi from 'koffi';", rule: FOLDERS },
  { file: 'src/exporter/a.ts', code: "import dgram from 'node:dgram';", rule: FOLDERS },
  { file: 'src/exporter/a.ts', code: "import dgram from 'dgram';", rule: FOLDERS },
  { file: 'src/daemon/a.ts', code: "import { Command } from 'commander';", rule: FOLDERS },
  { file: 'src/flow/a.ts', code: 'export default 1;', rule: DEFAULT_EXPORT },
  { file: 'src/daemon/a.ts', code: 'process.exit(1);', rule: 'no-restricted-syntax' },
];

const allowed: readonly Case[] = [
  { file: 'src/flow/a.ts', code: "import './clock.js';" },
  { file: 'src/process/a.ts', code: "import '../flow/process-directory.js';" },
  { file: 'src/templates/a.ts', code: "import '../flow/flow-contract.gen.js';" },
  { file: 'src/exporter/a.ts', code: "import '../flow/clock.js'; import '../templates/x.js';" },
  { file: 'src/exporter/v9/a.ts', code: "import '../packing.js'; import '../../flow/clock.js';" },
  { file: 'src/bpf-loader/a.ts', code: "import '../flow/clock.js'; import './native/libc.js';" },
  { file: 'src/daemon/a.ts', code: "import '../exporter/x.js'; import '../bpf-loader/x.js';" },
  { file: 'src/cli/a.ts', code: "import '../daemon/x.js'; import '../flow/clock.js';" },
  { file: 'src/bpf-loader/native/libbpf.ts', code: "import koffi from 'koffi'; koffi.load('');" },
  {
    file: 'src/exporter/transports/udp-socket.ts',
    code: "import { createSocket } from 'node:dgram';",
  },
  { file: 'src/cli/a.ts', code: "import { Command } from 'commander';" },
  { file: 'src/cli/main.ts', code: 'process.exit(1);' },
  { file: 'test/daemon/a.ts', code: "import '../../src/bpf-loader/btf.js';" },
];

// Without types: the files above do not exist, and these rules need none.
const linter = new ESLint({ overrideConfig: [tseslint.configs.disableTypeChecked] });
const OURS = [FOLDERS, DEFAULT_EXPORT, 'no-restricted-syntax', null];

async function brokenRules({ file, code }: Case): Promise<(string | null)[]> {
  const results = await linter.lintText(code, { filePath: file });
  const messages = results.flatMap((result) => result.messages);
  return messages.map((message) => message.ruleId).filter((rule) => OURS.includes(rule));
}

t.test('an import that the table does not allow is an error', async (t) => {
  for (const snippet of refused) {
    t.same(await brokenRules(snippet), [snippet.rule], `${snippet.file}: ${snippet.code}`);
  }
});

t.test('an import that the table allows is not', async (t) => {
  for (const snippet of allowed) {
    t.same(await brokenRules(snippet), [], `${snippet.file}: ${snippet.code}`);
  }
});
