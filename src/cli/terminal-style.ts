// Colours, where they are wanted.

const SGR = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33, cyan: 36 } as const;
type Style = keyof typeof SGR;
export type Paint = (style: Style, text: string) => string;

export interface OutputKind {
  readonly isTTY?: boolean;
  /** Of a terminal; changes with its window. */
  readonly columns?: number;
}

/** https://no-color.org: set to anything but the empty text, it switches colours off. */
export function paintFor(output: OutputKind, env: NodeJS.ProcessEnv): Paint {
  const isColoured = output.isTTY === true && (env.NO_COLOR ?? '') === '' && env.TERM !== 'dumb';
  return isColoured ? (style, text) => `\x1b[${SGR[style]}m${text}\x1b[0m` : (_style, text) => text;
}
