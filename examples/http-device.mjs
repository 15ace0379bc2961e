// A file on a web server as a device: it reads ranges, so that of a large image only what is looked at is fetched.

/** The file at `url`. The server has to say its length, and to answer requests for ranges. */
export async function httpDevice(url) {
  const { headers } = await fetch(url, { method: "HEAD" });
  return {
    size: Number(headers.get("content-length")),
    async read(at, length) {
      if (length === 0) return new Uint8Array(0);
      const range = `bytes=${at}-${at + length - 1}`;
      const response = await fetch(url, { headers: { range } });
      const bytes = new Uint8Array(await response.arrayBuffer());
      if (response.status !== 206 || bytes.length !== length) throw new Error(`${url} does not give ${range}`);
      return bytes;
    },
  };
}
