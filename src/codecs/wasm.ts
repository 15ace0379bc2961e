/** Loading the WebAssembly modules that lie beside this file, from wherever it was loaded itself: a disk or a web server. */

/** The part of the WebAssembly API that is used here: TypeScript declares it for browsers only. */
declare const WebAssembly: {
  instantiate(bytes: Uint8Array, imports: object): Promise<{ readonly instance: { readonly exports: unknown } }>;
};

/** A new instance of the module in the file `name`. Its exports; the caller says what they are. */
export async function instantiateWasm<Exports>(name: string, imports: object = {}): Promise<Exports> {
  const url = new URL(name, import.meta.url);
  const bytes =
    url.protocol === "file:"
      ? await (await import("node:fs/promises")).readFile(url)
      : new Uint8Array(await (await fetch(url)).arrayBuffer());
  const { instance } = await WebAssembly.instantiate(bytes, imports);
  return instance.exports as Exports;
}
