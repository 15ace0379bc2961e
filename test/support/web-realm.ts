/**
 * Runs a module as a browser would: in a realm of its own that has nothing but JavaScript and a few web APIs, its modules
 * and whatever they fetch from a made-up web server that serves the package. Needs `--experimental-vm-modules`.
 */
import * as fs from "node:fs";
import * as path from "node:path";
import * as vm from "node:vm";

const PACKAGE = path.resolve(import.meta.dirname, "../../..");
const SERVER = "http://web.example/";

/** The file that the made-up server has at `url`. Nothing outside of the package is served. */
function fileAt(url: string): string {
  if (!url.startsWith(SERVER)) throw new Error(`${url} is not on the server`);
  return path.join(PACKAGE, new URL(url).pathname);
}

async function fetchFromServer(url: URL): Promise<Response> {
  const file = fileAt(url.href);
  return fs.existsSync(file) ? new Response(fs.readFileSync(file)) : new Response(null, { status: 404 });
}

/** Where "imgbuild/NAME" leads, as package.json exports it to everyone but Node: a page has an import map for it. */
function resolve(specifier: string, importer: string): string {
  if (/^\.\.?\//.test(specifier)) return new URL(specifier, importer).href;
  const { name, exports } = JSON.parse(fs.readFileSync(path.join(PACKAGE, "package.json"), "utf8"));
  const target = specifier.startsWith(`${name}/`) && exports[specifier.replace(name, ".")];
  if (!target) throw new Error(`${importer} imports ${specifier}, which no browser has`);
  return new URL(target.default, SERVER).href;
}

export interface WebRealm {
  /** The exports of a file of the package, named from its root. */
  import(file: string): Promise<Record<string, unknown>>;
  /** The global object: what is put there the modules see. */
  readonly globals: Record<string, unknown>;
}

export function webRealm(): WebRealm {
  // JavaScript's own globals come with every realm; these are the web's. Pages that are not "cross-origin isolated" have no
  // SharedArrayBuffer.
  const context = vm.createContext({ TextEncoder, TextDecoder, URL, fetch: fetchFromServer });
  vm.runInContext("delete globalThis.SharedArrayBuffer; globalThis.self = globalThis;", context);
  const modules = new Map<string, vm.SourceTextModule>();

  const load = (url: string): vm.SourceTextModule => {
    let module = modules.get(url);
    if (module === undefined) {
      module = new vm.SourceTextModule(fs.readFileSync(fileAt(url), "utf8"), {
        context,
        identifier: url,
        initializeImportMeta: (meta) => {
          meta.url = url;
        },
        importModuleDynamically: (async (specifier: string) => evaluated(resolve(specifier, url))) as never,
      });
      modules.set(url, module);
    }
    return module;
  };
  const evaluated = async (url: string) => {
    const module = load(url);
    if (module.status === "unlinked") {
      await module.link((specifier, importer) => load(resolve(specifier, importer.identifier)));
    }
    await module.evaluate();
    return module;
  };
  return {
    globals: context,
    async import(file) {
      return (await evaluated(SERVER + file)).namespace as Record<string, unknown>;
    },
  };
}
