// SHA-256 of files of any size, in pieces, beside the page: a Web Worker. FIPS 180-4, written for this farm.
// The browser's own crypto.subtle takes a file only whole, and only on secure pages.
"use strict";

const K = new Int32Array(64);
const START = new Uint32Array(8);

// The constants are the fractions of roots of the first primes, as the standard defines them.
(() => {
  let found = 0;
  for (let number = 2; found < 64; number++) {
    let prime = true;
    for (let by = 2; by * by <= number; by++) if (number % by === 0) { prime = false; break; }
    if (!prime) continue;
    if (found < 8) START[found] = fraction(number, 2n);
    K[found++] = fraction(number, 3n);
  }
})();

// The first 32 bits of the fraction of a root, by whole numbers, so that no rounding can be wrong.
function fraction(number, root) {
  const wanted = BigInt(number) << (32n * root);
  let low = 0n;
  let high = BigInt(number) << 33n;
  while (high - low > 1n) {
    const middle = (low + high) >> 1n;
    if (middle ** root <= wanted) low = middle; else high = middle;
  }
  return Number(low & 0xffffffffn);
}

class Sha256 {
  constructor() {
    this.state = START.slice();
    this.words = new Int32Array(64);
    this.rest = new Uint8Array(64);
    this.held = 0;
    this.length = 0;
  }

  update(bytes) {
    this.length += bytes.length;
    let at = 0;
    if (this.held) {
      const more = Math.min(64 - this.held, bytes.length);
      this.rest.set(bytes.subarray(0, more), this.held);
      this.held += more;
      at = more;
      if (this.held < 64) return this;
      this.block(this.rest, 0);
      this.held = 0;
    }
    for (; at + 64 <= bytes.length; at += 64) this.block(bytes, at);
    this.rest.set(bytes.subarray(at), 0);
    this.held = bytes.length - at;
    return this;
  }

  hex() {
    const bits = this.length;
    const padding = new Uint8Array(this.held < 56 ? 64 - this.held : 128 - this.held);
    padding[0] = 0x80;
    const view = new DataView(padding.buffer);
    view.setUint32(padding.length - 8, Math.floor(bits / 0x20000000));
    view.setUint32(padding.length - 4, (bits * 8) >>> 0);
    this.update(padding);
    return Array.from(this.state, (word) => word.toString(16).padStart(8, "0")).join("");
  }

  block(bytes, at) {
    const w = this.words;
    for (let i = 0; i < 16; i++, at += 4) {
      w[i] = (bytes[at] << 24) | (bytes[at + 1] << 16) | (bytes[at + 2] << 8) | bytes[at + 3];
    }
    for (let i = 16; i < 64; i++) {
      const x = w[i - 15];
      const y = w[i - 2];
      const s0 = ((x >>> 7) | (x << 25)) ^ ((x >>> 18) | (x << 14)) ^ (x >>> 3);
      const s1 = ((y >>> 17) | (y << 15)) ^ ((y >>> 19) | (y << 13)) ^ (y >>> 10);
      w[i] = (w[i - 16] + s0 + w[i - 7] + s1) | 0;
    }
    const state = this.state;
    let a = state[0] | 0, b = state[1] | 0, c = state[2] | 0, d = state[3] | 0;
    let e = state[4] | 0, f = state[5] | 0, g = state[6] | 0, h = state[7] | 0;
    for (let i = 0; i < 64; i++) {
      const s1 = ((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7));
      const t1 = (h + s1 + ((e & f) ^ (~e & g)) + K[i] + w[i]) | 0;
      const s0 = ((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10));
      const t2 = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
      h = g; g = f; f = e; e = (d + t1) | 0; d = c; c = b; b = a; a = (t1 + t2) | 0;
    }
    state[0] += a; state[1] += b; state[2] += c; state[3] += d;
    state[4] += e; state[5] += f; state[6] += g; state[7] += h;
  }
}

const PIECE = 4 * 1024 * 1024;

// In: {file, partSize}. Out: {done: bytes} now and then, then {sha256, parts: [sha256]}, or {error}.
async function hash({ file, partSize }) {
  const whole = new Sha256();
  const several = file.size > partSize;
  const parts = [];
  let part = new Sha256();
  let filled = 0;
  for (let at = 0; at < file.size;) {
    const size = Math.min(PIECE, partSize - filled, file.size - at);
    const bytes = new Uint8Array(await file.slice(at, at + size).arrayBuffer());
    if (bytes.length !== size) throw new Error("The file became shorter while it was read.");
    whole.update(bytes);
    if (several) part.update(bytes);
    at += size;
    filled += size;
    if (several && filled === partSize) {
      parts.push(part.hex());
      part = new Sha256();
      filled = 0;
    }
    self.postMessage({ done: at });
  }
  const sha256 = whole.hex();
  if (!several) parts.push(sha256);
  else if (filled) parts.push(part.hex());
  self.postMessage({ sha256, parts });
}

self.onmessage = (event) => {
  hash(event.data).catch((error) => self.postMessage({ error: String(error.message || error) }));
};
