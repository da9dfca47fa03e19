// Which interfaces there are, kept up to date by what the kernel tells of them: asking for all of them
// several times a second would cost a host full of containers dearly.
import type { Libc } from './native/libc.js';
import { openLinkNews, type LinkNewsSocket } from './native/netlink-links.js';
import type { NetworkNamespace } from './network-namespace.js';

export interface InterfaceChange {
  /** Index to name, now. */
  readonly present: ReadonlyMap<number, string>;
  /** Those that have left since the last look, and may be back; 'unknown': any. */
  readonly left: ReadonlySet<number> | 'unknown';
}

export interface InterfaceChanges {
  /** Undefined when nothing has happened since the last look; never so at the first one. */
  readonly look: () => InterfaceChange | undefined;
  /** More than once does no harm. */
  readonly close: () => void;
}

/** @param openNews for tests */
export function openInterfaceChanges(
  namespace: NetworkNamespace,
  { interfaces }: Pick<Libc, 'interfaces'>,
  openNews: () => LinkNewsSocket | undefined = openLinkNews,
): InterfaceChanges {
  // Before the first list, so that nothing falls between the two.
  const news = namespace.run(openNews);
  let isOpen = true;
  let known: Map<number, string> | undefined;
  const list = (): InterfaceChange => {
    known = namespace.run(interfaces);
    return { present: known, left: 'unknown' };
  };
  return {
    look: () => {
      const events = news?.take();
      if (events === undefined || events === 'too much' || known === undefined) return list();
      if (events.length === 0) return undefined;
      const left = new Set<number>();
      for (const { index, name } of events) {
        if (name === undefined) {
          known.delete(index);
          left.add(index);
        } else {
          known.set(index, name);
        }
      }
      return { present: known, left };
    },
    close: () => {
      if (isOpen) news?.close();
      isOpen = false;
    },
  };
}
