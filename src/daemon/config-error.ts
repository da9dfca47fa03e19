// A setting that cannot work, said so that its author can mend it.

export class ConfigError extends Error {
  /** The setting as the user wrote it: "--idle-timeout 5x". */
  readonly setting: string;

  /**
   * @param setting what was given
   * @param reason what is wrong with it
   * @param advice what to give instead
   */
  constructor(setting: string, reason: string, advice: string) {
    super(`${setting}: ${reason} (${advice})`);
    this.name = 'ConfigError';
    this.setting = setting;
  }
}

/** "a, b or c" */
export function alternatives(words: readonly string[]): string {
  return `${words.slice(0, -1).join(', ')} or ${words.at(-1) ?? ''}`;
}
