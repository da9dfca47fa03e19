// The templates that each sender's observation domains have announced, within bounds. A message
// changes a copy, which takes effect only when the whole message was well-formed.
import { isDeepStrictEqual } from 'node:util';
import { DecodeError } from './decode-error.js';
import type { Template, Withdrawal } from './decoded-message.js';

/**
 * In units of one field specifier, which takes about 100 octets of memory. A template costs one
 * unit more than it has fields, an observation domain four more than its templates.
 */
export interface TemplateLimits {
  /** What is beyond is refused: "too-many-templates". */
  readonly unitsPerDomain: number;
  /** Above unitsPerDomain. Beyond it, those are forgotten that were not heard of for longest. */
  readonly units: number;
}

/** One message can announce 16,379 fields. All domains together take 20 to 30 MB. */
export const TEMPLATE_LIMITS: TemplateLimits = { unitsPerDomain: 20_000, units: 200_000 };

const UNITS_PER_DOMAIN = 4;

interface Domain {
  readonly sender: string;
  readonly dataTemplates: ReadonlyMap<number, Template>;
  readonly optionsTemplates: ReadonlyMap<number, Template>;
  readonly units: number;
}

interface Changed {
  readonly data: Map<number, Template>;
  readonly options: Map<number, Template>;
}

const EMPTY: ReadonlyMap<number, Template> = new Map();

/** The templates of one observation domain, as one message sees and changes them. */
export class DomainTemplates {
  readonly #maxUnits: number;
  #dataTemplates: ReadonlyMap<number, Template>;
  #optionsTemplates: ReadonlyMap<number, Template>;
  #changed: Changed | undefined;
  #units: number;

  constructor(domain: Domain | undefined, maxUnits: number) {
    this.#maxUnits = maxUnits;
    this.#dataTemplates = domain?.dataTemplates ?? EMPTY;
    this.#optionsTemplates = domain?.optionsTemplates ?? EMPTY;
    this.#units = domain?.units ?? UNITS_PER_DOMAIN;
  }

  get isChanged(): boolean {
    return this.#changed !== undefined;
  }

  get(id: number): Template | undefined {
    return this.#dataTemplates.get(id) ?? this.#optionsTemplates.get(id);
  }

  /** Whether `template` has a known id and says something else of it. */
  differs(template: Template): boolean {
    const known = this.get(template.id);
    return known !== undefined && !isDeepStrictEqual(known, template);
  }

  /** @throws DecodeError "too-many-templates" */
  set(template: Template, offset: number): void {
    const { data, options } = this.#change();
    this.#remove(data, template.id);
    this.#remove(options, template.id);
    this.#units += unitsOf(template);
    if (this.#units > this.#maxUnits) {
      const reason = `the templates of this domain take more than ${this.#maxUnits} units`;
      throw new DecodeError('too-many-templates', offset, `keep template ${template.id}`, reason);
    }
    (template.isOptions ? options : data).set(template.id, template);
  }

  /** Whether there was something to withdraw. "All" may be none. */
  withdraw({ templateId, isOptions }: Withdrawal): boolean {
    const { data, options } = this.#change();
    const templates = isOptions ? options : data;
    if (templateId >= 256) return this.#remove(templates, templateId);
    for (const template of templates.values()) this.#units -= unitsOf(template);
    templates.clear();
    return true;
  }

  snapshot(sender: string): Domain {
    return {
      sender,
      dataTemplates: this.#dataTemplates,
      optionsTemplates: this.#optionsTemplates,
      units: this.#units,
    };
  }

  /** Copies once a message, and only of messages with templates. */
  #change(): Changed {
    if (this.#changed === undefined) {
      const data = new Map(this.#dataTemplates);
      const options = new Map(this.#optionsTemplates);
      this.#dataTemplates = data;
      this.#optionsTemplates = options;
      this.#changed = { data, options };
    }
    return this.#changed;
  }

  #remove(templates: Map<number, Template>, id: number): boolean {
    const template = templates.get(id);
    if (template !== undefined) this.#units -= unitsOf(template);
    return templates.delete(id);
  }
}

export class TemplateMemory {
  readonly #limits: TemplateLimits;
  /** Those that were not heard of for longest come first. */
  readonly #domains = new Map<string, Domain>();
  #units = 0;
  #evictedDomains = 0;

  constructor(limits: TemplateLimits) {
    this.#limits = limits;
  }

  /** Domains whose templates were forgotten for want of room. */
  get evictedDomains(): number {
    return this.#evictedDomains;
  }

  open(key: string): DomainTemplates {
    const domain = this.#domains.get(key);
    if (domain !== undefined) {
      this.#domains.delete(key);
      this.#domains.set(key, domain);
    }
    return new DomainTemplates(domain, this.#limits.unitsPerDomain);
  }

  /** What a message that was well-formed has made of the domain. */
  keep(key: string, sender: string, templates: DomainTemplates): void {
    if (!templates.isChanged) return;
    const domain = templates.snapshot(sender);
    this.#delete(key);
    if (domain.units === UNITS_PER_DOMAIN) return;
    this.#domains.set(key, domain);
    this.#units += domain.units;
    for (const oldest of this.#domains.keys()) {
      if (this.#units <= this.#limits.units || oldest === key) break;
      this.#delete(oldest);
      this.#evictedDomains++;
    }
  }

  /** Templates of a transport session end with it (RFC 7011 §8). */
  forget(sender: string): void {
    for (const [key, domain] of this.#domains) if (domain.sender === sender) this.#delete(key);
  }

  #delete(key: string): void {
    this.#units -= this.#domains.get(key)?.units ?? 0;
    this.#domains.delete(key);
  }
}

function unitsOf({ fields }: Template): number {
  return fields.length + 1;
}
