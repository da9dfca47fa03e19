// Types of the parts of buffer-layout that procflow uses; the package has none of its own.
declare module 'buffer-layout' {
  export interface Layout<T> {
    /** Octets that the layout takes; -1 where that depends on the value. */
    readonly span: number;
    readonly property: string | undefined;
    encode(value: T, bytes: Uint8Array, offset?: number): number;
    decode(bytes: Uint8Array, offset?: number): T;
  }
  export interface Structure<T> extends Layout<T> {
    /** Where a field begins; undefined where that depends on the value before it. */
    offsetOf(property: string): number | undefined;
  }
  export function u16be(property?: string): Layout<number>;
  export function u32be(property?: string): Layout<number>;
  export function struct<T>(fields: readonly Layout<number>[], property?: string): Structure<T>;
}
