/**
 * C libraries that Emscripten compiled to WebAssembly, used without its JavaScript: their memory, and the growing of it.
 * Pointers are numbers.
 */
import { ImgbuildError } from "../errors.js";

/** The part of WebAssembly.Memory that is used. */
export interface WasmMemory {
  readonly buffer: ArrayBuffer;
  grow(pages: number): number;
}

const PAGE = 65_536;

/**
 * What malloc imports to get more memory (emscripten_resize_heap): 1 when the memory has at least `size` bytes after it, 0
 * when it cannot grow so far. It grows to what is needed and no further: blocks are of one size, so it rarely does.
 */
export function growTo(memory: WasmMemory, size: number): 0 | 1 {
  try {
    memory.grow(Math.ceil(((size >>> 0) - memory.buffer.byteLength) / PAGE));
    return 1;
  } catch {
    return 0;
  }
}

/** The heap of a library. */
export class Heap {
  readonly #memory: WasmMemory;
  readonly #malloc: (size: number) => number;
  readonly #free: (pointer: number) => void;
  #bytes: Uint8Array;
  #view: DataView;

  constructor(memory: WasmMemory, malloc: (size: number) => number, free: (pointer: number) => void) {
    this.#memory = memory;
    this.#malloc = malloc;
    this.#free = free;
    this.#bytes = new Uint8Array(memory.buffer);
    this.#view = new DataView(memory.buffer);
  }

  /** All of the memory. Ask anew after each call of the library: growing detaches the old views. */
  get bytes(): Uint8Array {
    if (this.#bytes.buffer !== this.#memory.buffer) this.#bytes = new Uint8Array(this.#memory.buffer);
    return this.#bytes;
  }

  /** As `bytes`. */
  get view(): DataView {
    if (this.#view.buffer !== this.#memory.buffer) this.#view = new DataView(this.#memory.buffer);
    return this.#view;
  }

  /** `size` bytes, aligned to 8. Throws an `internal` error when there is no more memory. */
  allocate(size: number): number {
    const pointer = this.#malloc(size);
    if (pointer === 0) throw new ImgbuildError("internal", `a codec got no ${size} bytes of memory`);
    return pointer;
  }

  free(pointer: number): void {
    this.#free(pointer);
  }
}

/** A piece of a heap that is kept between blocks and replaced when a larger one is needed. */
export class HeapBuffer {
  readonly #heap: Heap;
  #pointer = 0;
  #size = 0;

  constructor(heap: Heap) {
    this.#heap = heap;
  }

  /** The buffer's address, with room for `size` bytes. What was in it may be gone. */
  reserve(size: number): number {
    if (size > this.#size || this.#pointer === 0) {
      if (this.#pointer !== 0) this.#heap.free(this.#pointer);
      this.#pointer = 0;
      this.#pointer = this.#heap.allocate(size);
      this.#size = size;
    }
    return this.#pointer;
  }

  /** Copies `bytes` into the buffer. Returns its address. */
  fill(bytes: Uint8Array): number {
    const pointer = this.reserve(bytes.length);
    this.#heap.bytes.set(bytes, pointer);
    return pointer;
  }
}

/**
 * The buffers of a library that compresses or decompresses one block at a time: a call copies its block in and its result out
 * before it returns, so all the codecs of an instance can have the same. They live as long as it does, like its memory.
 */
export class BlockBuffers {
  readonly input: HeapBuffer;
  readonly output: HeapBuffer;

  constructor(heap: Heap) {
    this.input = new HeapBuffer(heap);
    this.output = new HeapBuffer(heap);
  }
}
