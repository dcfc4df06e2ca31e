// SPDX-License-Identifier: Apache-2.0
//
// A second reading of docs/spec/payload-v1.md: a decoder for sealed payloads that shares no code with Signet, and a
// runner for the vectors in this directory. It answers each vector and compares that with what README.md says it must be.
//
//     node testdata/vectors/decode.mjs          (Node 20 or later; the npm package fzstd is used if it can be found)
//
// The numbers in the comments are sections of the specification.

import { createCipheriv, createDecipheriv } from 'node:crypto';
import { readFileSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';

const FEWEST_VECTORS = 25;
const MAX_EXPANDED = 64 << 20; // §4
const MAX_CONTEXT = 16384; // §2.3

/** An answer other than a payload. `answer` is one of the words of README.md, or 'skipped'. */
class Refusal extends Error {
  constructor(answer, why) { super(why); this.answer = answer; }
}
const refuse = (answer, why) => { throw new Refusal(answer, why); };
const malformed = (why) => refuse('malformed', why);

/** Text of bytes, or undefined if they are not UTF-8. A byte order mark is kept: it is a character as any other. */
const utf8 = (bytes) => {
  try { return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes); } catch { return undefined; }
};

// ---- §2: the outer payload ------------------------------------------------------------------------------------------

const KEY_ID = /^([A-Za-z0-9_][A-Za-z0-9_.-]*(?:\/[A-Za-z0-9_][A-Za-z0-9_.-]*)*)\/([0-9a-f]{8})$/;

/** §2.3. Reading and writing it again must give the same bytes; that leaves no room for a second form. */
function parseContext(raw) {
  const later = /^\{"v":([1-9][0-9]*)[,}]/.exec(raw.toString('latin1'));
  if (later && later[1] !== '1') refuse('unknown-version', `context version ${later[1]}`);
  if (raw.length > MAX_CONTEXT) malformed('context too long');
  let read;
  try { read = JSON.parse(raw.toString('utf8')); } catch { malformed('context is no JSON'); }
  const { ns, wf } = read ?? {};
  for (const text of wf === undefined ? [ns] : [ns, wf]) {
    // JSON.stringify writes half a surrogate pair as an escape. That is not the canonical form, and never valid text.
    if (typeof text !== 'string' || text === '' || !text.isWellFormed()) malformed('bad string in the context');
  }
  if (!Buffer.from(JSON.stringify({ v: 1, ns, wf })).equals(raw)) malformed('context not in canonical form');
  return { ns, wf };
}

function parseOuter({ metadata, data, external }) {
  // First of all the version, because a later one may change every other rule.
  const { ns, wf } = parseContext(metadata.get('encryption-context'));
  const encoding = metadata.get('encoding'), key = metadata.get('encryption-key-id');
  if (metadata.size !== 3 || !encoding || !key) malformed('not exactly the three metadata entries');
  if (external.length > 0) malformed('external payloads');
  if (encoding.toString('latin1') !== 'binary/encrypted') malformed('encoding');
  const [, keyset, keyId] = KEY_ID.exec(key.toString('latin1')) ?? malformed('encryption-key-id');
  if (keyset.length > 200) malformed('keyset name too long');
  if (data.length < 34) malformed('data too short');
  if (data[0] !== 1 || data.toString('hex', 1, 5) !== keyId) malformed('prefix of data');
  return { ns, wf, keyset, keyId };
}

// ---- §3: decryption -------------------------------------------------------------------------------------------------

const aesBlock = (key, block) => createCipheriv('aes-256-ecb', key, null).setAutoPadding(false).update(block);

/** AES-CMAC (NIST SP 800-38B) of exactly one block, which is all that XAES-256-GCM needs: only subkey K1 has a use. */
function cmacOfBlock(key, block) {
  const l = aesBlock(key, Buffer.alloc(16));
  const masked = l.map((byte, i) => (((byte << 1) | ((l[i + 1] ?? 0) >> 7)) & 0xff) ^ block[i]);
  if (l[0] & 0x80) masked[15] ^= 0x87;
  return aesBlock(key, masked);
}

const len32 = (bytes) => { const n = Buffer.alloc(4); n.writeUInt32BE(bytes.length); return n; };

function decrypt({ type, secret }, { metadata, data }) {
  const parts = ['encoding', 'encryption-key-id', 'encryption-context'].map((name) => metadata.get(name));
  const associated = Buffer.concat([Buffer.from('signet/payload/v1\0'), ...parts.flatMap((p) => [len32(p), p])]);
  let key = secret, box = data.subarray(5);
  if (type === 'XAES_256_GCM') {
    const half = (i) => cmacOfBlock(secret, Buffer.concat([Buffer.from([0, i, 0x58, 0]), box.subarray(0, 12)]));
    if (box.length < 40) refuse('not-authentic', 'no room for nonce and tag');
    key = Buffer.concat([half(1), half(2)]);
    box = box.subarray(12);
  }
  const gcm = createDecipheriv('aes-256-gcm', key, box.subarray(0, 12), { authTagLength: 16 });
  gcm.setAAD(associated).setAuthTag(box.subarray(-16));
  const text = gcm.update(box.subarray(12, -16)); // not to be looked at before final() has agreed
  try { gcm.final(); } catch { refuse('not-authentic', 'decryption failed'); }
  return text;
}

// ---- §4: plaintext --------------------------------------------------------------------------------------------------

/** Expands a body that must be one zstd frame (RFC 8878, 3.1.1) and nothing else. Its checksum, if any, is not verified. */
function expand(frame, zstd) {
  if (frame.length < 9 || frame.readUInt32LE(0) !== 0xfd2fb528 || frame[4] & 0x08) malformed('no zstd frame');
  const single = (frame[4] >> 5) & 1, checksum = (frame[4] >> 2) & 1;
  const idBytes = [0, 1, 2, 4][frame[4] & 3], sizeBytes = [single, 2, 4, 8][frame[4] >> 6];
  const little = (from, n) => frame.subarray(from, from + n).reduceRight((sum, byte) => sum * 256 + byte, 0);
  if (little(6 - single, idBytes) !== 0) malformed('zstd dictionary');
  const size = little(6 - single + idBytes, sizeBytes) + (sizeBytes === 2 ? 256 : 0);
  const window = single ? size : 2 ** (10 + (frame[5] >> 3)) * (1 + (frame[5] & 7) / 8);
  // The window is memory that the library takes before the first byte is out.
  if (size > MAX_EXPANDED || window > MAX_EXPANDED) malformed('expands too far');
  let end = 6 - single + idBytes + sizeBytes;
  for (let last = 0; !last;) { // from block to block: the frame must end where the body ends
    if (end + 3 > frame.length) malformed('zstd frame cut off');
    const head = frame.readUIntLE(end, 3);
    last = head & 1;
    end += 3 + (((head >> 1) & 3) === 1 ? 1 : head >> 3);
  }
  if (end + 4 * checksum !== frame.length) malformed('not exactly one zstd frame');

  if (!zstd) refuse('skipped', 'no zstd');
  const chunks = [];
  let total = 0;
  const stream = new zstd.Decompress((chunk) => {
    if ((total += chunk.length) > MAX_EXPANDED) malformed('expands too far');
    chunks.push(chunk.slice());
  });
  try { stream.push(frame, true); } catch (e) { malformed(`zstd: ${e.message}`); }
  if (sizeBytes > 0 && total !== size) malformed('zstd frame of another size than it says');
  return Buffer.concat(chunks);
}

/** Reads a protobuf message and calls `field(number, bytes)` for each length-delimited field; others are passed over. */
function readMessage(bytes, field) {
  let at = 0;
  const take = (n) => (at + n <= bytes.length ? bytes.subarray(at, (at += n)) : malformed('protobuf cut off'));
  const varint = () => {
    for (let value = 0, i = 0; i < 10; i++) {
      const byte = take(1)[0];
      value += (byte & 0x7f) * 2 ** (7 * i);
      if (byte < 0x80) return value;
    }
    return malformed('protobuf varint too long');
  };
  while (at < bytes.length) {
    const tag = varint(), number = Math.floor(tag / 8);
    if (number < 1 || number > 0x1fffffff) malformed('protobuf field number');
    switch (tag % 8) {
      case 0: varint(); break;
      case 1: take(8); break;
      case 2: field(number, take(varint())); break;
      case 5: take(4); break;
      default: malformed('protobuf wire type'); // groups: proto3 has none
    }
  }
}

function readPayload(bytes) {
  const payload = { metadata: new Map(), data: Buffer.alloc(0), external: [] };
  readMessage(bytes, (number, value) => {
    if (number === 1) {
      const entry = ['', Buffer.alloc(0)]; // a map entry is a message of key = 1 and value = 2, either may be missing
      readMessage(value, (n, v) => {
        if (n === 1) entry[0] = utf8(v) ?? malformed('metadata key is no UTF-8');
        if (n === 2) entry[1] = v;
      });
      payload.metadata.set(...entry);
    }
    if (number === 2) payload.data = value;
    if (number === 3) payload.external.push(value);
  });
  return payload;
}

// ---- §6: the steps of a decoder -------------------------------------------------------------------------------------

/** §6.1: the id without the time that a schedule puts behind it. It must be a time that exists. */
function withoutScheduledTime(id) {
  const [, name, time] = /^(.+)-(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)$/s.exec(id) ?? [];
  const date = new Date(time);
  return time && !Number.isNaN(+date) && date.toISOString() === time.replace('Z', '.000Z') ? name : id;
}

function decode(outer, { keys, keysets, scopes, workflow, plaintextAllowed }, zstd) {
  if (!outer.metadata.has('encryption-context')) return plaintextAllowed ? outer : refuse('not-sealed', 'foreign');
  const { ns, wf, keyset, keyId } = parseOuter(outer);
  if (!scopes.includes(ns)) refuse('not-authentic', 'scope');
  if (!keysets.includes(keyset)) refuse('not-authentic', 'keyset');
  if (workflow !== undefined && wf !== undefined && wf !== workflow
    && withoutScheduledTime(wf) !== withoutScheduledTime(workflow)) refuse('not-authentic', 'workflow');
  const key = keys.get(`${keyset}/${keyId}`) ?? refuse('key-unavailable', `${keyset}/${keyId}`);
  const plaintext = decrypt(key, outer);
  if (plaintext.length === 0) malformed('no flag');
  if (plaintext[0] > 1) refuse('unknown-version', `flag ${plaintext[0]}`);
  const body = plaintext.subarray(1);
  return readPayload(plaintext[0] === 1 ? expand(body, zstd) : body);
}

// ---- the vectors ----------------------------------------------------------------------------------------------------

function payloadFromJSON(text) {
  const { metadata = {}, data = '', ...rest } = JSON.parse(text);
  const bytes = (base64) => Buffer.from(base64, 'base64');
  return {
    metadata: new Map(Object.entries(metadata).map(([name, value]) => [name, bytes(value)])),
    data: bytes(data),
    external: Object.values(rest).flat(),
  };
}

/** One spelling of a payload, to compare and to print it. */
const show = ({ metadata, data, external }) => JSON.stringify([
  [...metadata].map(([name, value]) => [name, value.toString('base64')]).sort(), data.toString('base64'), external]);

function readVector(text) {
  const [, head, body] = /^(.+?)\n\n(.+)\n$/s.exec(text) ?? refuse('unreadable', 'no empty line');
  const values = { about: [], expect: [], key: [], keyset: [], scope: [], workflow: [], plaintext: [], 'opens-to': [] };
  for (const line of head.split('\n')) {
    const [, name, value] = /^([a-z-]+): (.*)$/.exec(line) ?? refuse('unreadable', line);
    (values[name] ?? refuse('unreadable', line)).push(value);
  }
  const keys = new Map(values.key.map((line) => {
    const [name, type, hex] = line.split(' ');
    if (!['XAES_256_GCM', 'AES256_GCM'].includes(type) || !/^[0-9a-f]{64}$/.test(hex)) refuse('unreadable', line);
    return [name, { type, secret: Buffer.from(hex, 'hex') }];
  }));
  const decoder = { keys, keysets: values.keyset, scopes: values.scope, workflow: values.workflow[0],
    plaintextAllowed: values.plaintext[0] === 'allowed' };
  const expect = values.expect[0];
  const want = expect === 'payload' ? show(payloadFromJSON(values['opens-to'][0])) : expect;
  return { decoder, want, outer: payloadFromJSON(body) };
}

/** undefined if the vector passes, 'skipped', or what went wrong. An error other than a Refusal is always wrong. */
function runVector(text, zstd) {
  const { decoder, want, outer } = readVector(text);
  let got, why = '';
  try {
    got = show(decode(outer, decoder, zstd));
  } catch (e) {
    if (!(e instanceof Refusal)) throw e;
    if (e.answer === 'skipped') return e.answer;
    [got, why] = [e.answer, ` (${e.message})`];
  }
  return got === want ? undefined : `expected ${want}, got ${got}${why}`;
}

/** fzstd as an ES module, or as NODE_PATH finds it, which import() does not look at. */
const findZstd = () => import('fzstd').catch(() => createRequire(import.meta.url)('fzstd')).catch(() => undefined);

const here = new URL('./', import.meta.url);
const files = readdirSync(here).filter((name) => name.endsWith('.txt')).sort();
const zstd = await findZstd();
let passed = 0, failed = 0, skipped = 0;
for (const name of files) {
  let problem;
  try { problem = runVector(readFileSync(new URL(name, here), 'utf8'), zstd); } catch (e) { problem = e.stack; }
  if (problem === undefined) passed++;
  else if (problem === 'skipped') skipped++;
  else { failed++; console.log(`${name}: ${problem}`); }
}
if (skipped > 0) console.log('skipped: no zstd (npm package fzstd)');
if (files.length < FEWEST_VECTORS) console.log(`only ${files.length} vectors found, expected ${FEWEST_VECTORS} or more`);
console.log(`${passed} passed, ${failed} failed${skipped ? `, ${skipped} skipped` : ''}`);
process.exitCode = failed > 0 || files.length < FEWEST_VECTORS ? 1 : 0;
