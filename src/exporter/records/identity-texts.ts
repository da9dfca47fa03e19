// Texts about processes as octets, made once an identity and kept as long as it: an identity never
// changes.
import type { ProcessIdentity } from '../../flow/process-directory.js';

const TEXTS = {
  parentName: ({ parentName }: ProcessIdentity) => parentName,
  commandLine: ({ commandLine }: ProcessIdentity) => commandLine,
  containerId: ({ containerId }: ProcessIdentity) => containerId,
  /** As docker and podman print it; a name, where the runtime has only that, stays whole. */
  shortContainerId: ({ containerId }: ProcessIdentity) =>
    /^[0-9a-f]{64}$/.test(containerId) ? containerId.slice(0, 12) : containerId,
  containerRuntime: ({ containerRuntime }: ProcessIdentity) => containerRuntime,
  executable: ({ executable }: ProcessIdentity) => executable,
  executableName: ({ executable }: ProcessIdentity) =>
    executable.slice(executable.lastIndexOf('/') + 1),
  unit: ({ unit }: ProcessIdentity) => unit,
  cgroupPath: ({ cgroupPath }: ProcessIdentity) => cgroupPath,
  podUid: ({ podUid }: ProcessIdentity) => podUid,
} as const;

export type IdentityText = keyof typeof TEXTS;

export class IdentityTexts {
  readonly #encoded = new WeakMap<ProcessIdentity, Partial<Record<IdentityText, Uint8Array>>>();

  octets(identity: ProcessIdentity, text: IdentityText): Uint8Array {
    let encoded = this.#encoded.get(identity);
    if (encoded === undefined) this.#encoded.set(identity, (encoded = {}));
    return (encoded[text] ??= Buffer.from(TEXTS[text](identity)));
  }
}
