// The processes that are known, in bounded memory.
import type { ProcessKey } from './process-event.js';

export interface Parent {
  readonly parentPid: number;
  readonly parentName: string;
}

/** What a process runs. Shared by those that were forked without an exec: what is learned of one holds for all. */
export interface Program {
  executable: string;
  commandLine: string;
  /** 'unread': no event told, /proc has not been asked. */
  state: 'read' | 'unread';
}

/** One program of one process. */
export interface KnownProcess extends ProcessKey, Parent {
  /** undefined: nothing is known of the process. */
  readonly program: Program | undefined;
  /** /proc was asked for the program, which is done once. */
  isAsked: boolean;
}

interface Slot {
  readonly process: KnownProcess;
  /** Another process, or another program, of the same pid. */
  next: Slot | undefined;
  /** When it ended or was replaced by another program. */
  endedMs: number | undefined;
  /** Neighbours in the queue that it stands in. */
  before: Slot | undefined;
  after: Slot | undefined;
}

/** A linked list: a Set would walk over all that was taken from its front each time. */
class Queue {
  first: Slot | undefined;
  #last: Slot | undefined;
  size = 0;

  append(slot: Slot): void {
    slot.before = this.#last;
    slot.after = undefined;
    if (this.#last === undefined) this.first = slot;
    else this.#last.after = slot;
    this.#last = slot;
    this.size++;
  }

  remove(slot: Slot): void {
    if (slot.before === undefined) this.first = slot.after;
    else slot.before.after = slot.after;
    if (slot.after === undefined) this.#last = slot.before;
    else slot.after.before = slot.before;
    this.size--;
  }
}

export interface ProcessTableOptions {
  readonly maxProcesses: number;
  /** How long one that has ended is kept. */
  readonly retainMs: number;
}

/**
 * When there are too many, those go first that have ended, the longest ago first; then those that
 * nobody has asked for, for the longest time.
 */
export class ProcessTable {
  readonly #options: ProcessTableOptions;
  readonly #slots = new Map<number, Slot>();
  /** In the order in which they were last used. */
  readonly #living = new Queue();
  /** In the order in which they ended. */
  readonly #ended = new Queue();
  #evicted = 0;

  constructor(options: ProcessTableOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#living.size + this.#ended.size;
  }
  /** How many went for want of room. */
  get evicted(): number {
    return this.#evicted;
  }

  /** Counts as a use. */
  find(key: ProcessKey): KnownProcess | undefined {
    const slot = this.#slot(key);
    if (slot === undefined) return undefined;
    if (slot.endedMs === undefined) {
      this.#living.remove(slot);
      this.#living.append(slot);
    }
    return slot.process;
  }

  /** The program that a process runs now; undefined when it has ended or is not known. */
  current(pid: number, startNs: number): KnownProcess | undefined {
    for (let slot = this.#slots.get(pid); slot !== undefined; slot = slot.next) {
      if (slot.process.startNs === startNs && slot.endedMs === undefined) return slot.process;
    }
    return undefined;
  }

  /**
   * In the place of the one with the same key, if there is one.
   * @param endedMs when it ended; undefined: it lives
   */
  add(process: KnownProcess, endedMs?: number): void {
    const same = this.#slot(process);
    if (same !== undefined) this.#remove(same);
    const next = this.#slots.get(process.pid);
    const slot: Slot = { process, next, endedMs, before: undefined, after: undefined };
    this.#slots.set(process.pid, slot);
    this.#queueOf(slot).append(slot);
    if (this.size > this.#options.maxProcesses) this.#evict();
  }

  /** Every program of this process has ended, or all but the one given. */
  end(pid: number, startNs: number, nowMs: number, except?: KnownProcess): void {
    for (let slot = this.#slots.get(pid); slot !== undefined; slot = slot.next) {
      const { process } = slot;
      if (process.startNs !== startNs || process === except) continue;
      if (slot.endedMs !== undefined) continue;
      this.#living.remove(slot);
      slot.endedMs = nowMs;
      this.#ended.append(slot);
    }
  }

  /** Forgets those that ended so long ago that nobody asks for them any more. */
  expire(nowMs: number): void {
    for (let slot = this.#ended.first; slot !== undefined; slot = this.#ended.first) {
      if (nowMs - (slot.endedMs ?? nowMs) < this.#options.retainMs) return;
      this.#remove(slot);
    }
  }

  living(): KnownProcess[] {
    const processes: KnownProcess[] = [];
    for (let slot = this.#living.first; slot !== undefined; slot = slot.after) {
      processes.push(slot.process);
    }
    return processes;
  }

  #slot(key: ProcessKey): Slot | undefined {
    let slot = this.#slots.get(key.pid);
    while (slot !== undefined && !isSame(slot.process, key)) slot = slot.next;
    return slot;
  }

  #evict(): void {
    const slot = this.#ended.first ?? this.#living.first;
    if (slot === undefined) return;
    this.#remove(slot);
    this.#evicted++;
  }

  #queueOf(slot: Slot): Queue {
    return slot.endedMs === undefined ? this.#living : this.#ended;
  }

  #remove(slot: Slot): void {
    this.#queueOf(slot).remove(slot);
    const { pid } = slot.process;
    const first = this.#slots.get(pid);
    if (first === slot) {
      if (slot.next === undefined) this.#slots.delete(pid);
      else this.#slots.set(pid, slot.next);
      return;
    }
    for (let before = first; before !== undefined; before = before.next) {
      if (before.next === slot) before.next = slot.next;
    }
  }
}

function isSame(a: ProcessKey, b: ProcessKey): boolean {
  return a.pid === b.pid && a.startNs === b.startNs && a.execId === b.execId;
}
