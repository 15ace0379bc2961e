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
 * Throws an `io-failed` error when it cannot be had from the web.
 */
export async function instantiateWasm<Exports>(url: URL, imports: object = {}): Promise<Exports> {
  const disk = url.protocol === "file:" ? nodeModule("node:fs/promises") : undefined;
  const bytes = disk === undefined ? await download(url) : await disk.readFile(url);
  const { instance } = await WebAssembly.instantiate(bytes, imports);
  return instance.exports as Exports;
}

async function download(url: URL): Promise<Uint8Array> {
  const failed = (reason: string, cause?: unknown) =>
    new ImgbuildError("io-failed", `cannot load ${url.href}: ${reason}`, {
      hint: "The package's .wasm files have to be where its modules are.",
      cause,
    });
  const response = await fetch(url).catch((error: Error) => {
    throw failed(error.message, error);
  });
  if (!response.ok) throw failed(`the server answers ${response.status}`);
  return new Uint8Array(await response.arrayBuffer());
}
