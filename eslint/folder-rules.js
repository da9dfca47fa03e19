// Who may import whom: the one table of it, and the ESLint rule that enforces it.
import { dirname, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');

/** The folders of src/ and the other folders that each may import from. */
const MAY_IMPORT = {
  flow: [],
  'capture-file': [],
  process: ['flow'],
  templates: ['flow'],
  exporter: ['flow', 'templates'],
  'bpf-loader': ['flow'],
  daemon: ['flow', 'capture-file', 'process', 'templates', 'exporter', 'bpf-loader'],
  cli: ['flow', 'daemon'],
};

/** Modules that one place alone may import, so that it is the only one to change with them. */
const ONLY_IN = {
  koffi: 'src/bpf-loader/native/',
  dgram: 'src/exporter/transports/udp-socket.ts',
  commander: 'src/cli/',
};

/** The folder below src/ that a path of the project is in; undefined outside of src/. */
function folderOf(path) {
  const [top, folder, ...rest] = path.split('/');
  return top === 'src' && rest.length > 0 ? folder : undefined;
}

/** What is wrong with `file` importing `specifier`, as {messageId, data}, or undefined. */
function violation(file, specifier) {
  const from = folderOf(file);
  if (from === undefined) return undefined;
  if (!specifier.startsWith('.')) {
    const place = ONLY_IN[specifier.replace(/^node:/, '').split('/')[0]];
    const isAllowed = place === undefined || file === place || file.startsWith(`${place}`);
    return isAllowed ? undefined : { messageId: 'onlyIn', data: { specifier, place } };
  }
  const target = relative(root, resolve(root, dirname(file), specifier));
  const to = folderOf(target);
  if (to === from) return undefined;
  const allowed = MAY_IMPORT[from];
  if (allowed === undefined) return { messageId: 'unlisted', data: { from } };
  if (to !== undefined && allowed.includes(to)) return undefined;
  const data = { from, target, allowed: allowed.join(', ') || 'nothing of the project' };
  return { messageId: 'folder', data };
}

const folders = {
  meta: {
    type: 'problem',
    schema: [],
    messages: {
      folder: 'src/{{from}} must not import {{target}}: it may import {{allowed}}',
      onlyIn: '{{specifier}} is imported in {{place}} only',
      unlisted: 'src/{{from}} is not in the table of eslint/folder-rules.js',
    },
  },
  create(context) {
    const file = relative(root, context.filename);
    const check = (source) => {
      if (typeof source?.value !== 'string') return;
      const found = violation(file, source.value);
      if (found !== undefined) context.report({ node: source, ...found });
    };
    return {
      ImportDeclaration: (node) => check(node.source),
      ExportNamedDeclaration: (node) => check(node.source),
      ExportAllDeclaration: (node) => check(node.source),
      ImportExpression: (node) => check(node.source),
      TSImportType: (node) => check(node.source),
    };
  },
};

const noDefaultExport = {
  meta: {
    type: 'suggestion',
    schema: [],
    messages: { found: 'Export by name: a default export has another name in each importer' },
  },
  create: (context) => ({
    ExportDefaultDeclaration: (node) => context.report({ node, messageId: 'found' }),
  }),
};

export const procflowRules = {
  rules: { folders, 'no-default-export': noDefaultExport },
};
