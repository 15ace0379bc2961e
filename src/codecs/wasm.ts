/** Loading the WebAssembly modules that lie beside the codecs, from wherever these were loaded: a disk or a web server. */
import { ImgbuildError } from "../errors.js";
import { nodeModule } from "./node.js";

/** The part of the WebAssembly API that is used here: TypeScript declares it for browsers only. */
declare const WebAssembly: {
  instantiate(bytes: Uint8Array, imports: object): Promise<{ readonly instance: { readonly exports: unknown } }>;
};

/**
 * A new instance of the module at `url`. Its exports; the caller says what they are. Callers write the URL as
 * `new URL("./NAME.wasm", import.meta.url)`, all of it: that is what bundlers recognise, and then take the file along.
 * Throws an `io-failed` error when the module cannot be had from there, or what is there is no module.
 */
export async function instantiateWasm<Exports>(url: URL, imports: object = {}): Promise<Exports> {
  try {
    const disk = url.protocol === "file:" ? nodeModule("node:fs/promises") : undefined;
    const bytes = disk === undefined ? await download(url) : await disk.readFile(url);
    const { instance } = await WebAssembly.instantiate(bytes, imports);
    return instance.exports as Exports;
  } catch (cause) {
    throw new ImgbuildError("io-failed", `cannot load ${url.href}: ${(cause as Error).message}`, {
      hint: "The package's .wasm files have to be where its modules are.",
      cause,
    });
  }
}

async function download(url: URL): Promise<Uint8Array> {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`the server answers ${response.status}`);
  return new Uint8Array(await response.arrayBuffer());
}

/**
 * `load`, for all of a thread: who asks gets what the first call loads, or is loading. A failure is for those who wait for it;
 * the next who asks makes a new attempt, because a network that failed once may be back.
 */
export function oncePerThread<Loaded>(load: () => Promise<Loaded>): () => Promise<Loaded> {
  let loading: Promise<Loaded> | undefined;
  return () => {
    loading ??= load().catch((error: unknown) => {
      loading = undefined;
      throw error;
    });
    return loading;
  };
}
