// What every start loads, by the static imports from the command line on: each module costs time and memory.
import { readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import t from 'tap';
import { PROJECT_ROOT } from '../support/requirements.js';

const ROOT = join(PROJECT_ROOT, 'build/src');
const STATIC_IMPORT = /^(?:import|export)\s(?:[^;]*?\sfrom\s)?'([^']+)';/gm;

/** Paths below src/, and the names of what is not ours. */
function loadedFrom(start: string): Set<string> {
  const loaded = new Set<string>();
  const waiting = [join(ROOT, start)];
  for (let path = waiting.pop(); path !== undefined; path = waiting.pop()) {
    const name = relative(ROOT, path);
    if (loaded.has(name)) continue;
    loaded.add(name);
    for (const [, target = ''] of readFileSync(path, 'utf8').matchAll(STATIC_IMPORT)) {
      if (target.startsWith('.')) waiting.push(join(dirname(path), target));
      else loaded.add(target);
    }
  }
  return loaded;
}

t.test('what few need is loaded only for them', async (t) => {
  const loaded = loadedFrom('cli/main.js');
  t.ok(loaded.has('bpf-loader/kernel-flow-source.js'), 'the search finds what is imported');
  t.notOk(loaded.has('node:tls'), 'TLS, for collectors with tls://');
  for (const path of ['cli/live-replay.js', 'daemon/run-replay.js', 'daemon/capture-frames.js']) {
    t.notOk(loaded.has(path), `${path}, for -r`);
  }
});
