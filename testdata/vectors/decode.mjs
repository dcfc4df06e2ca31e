// SPDX-License-Identifier: Apache-2.0
//
// A decoder for sealed payloads, written from docs/spec/payload-v1.md alone, and a runner for the vectors beside it:
//
//     node testdata/vectors/decode.mjs        (Node 20 or later; zstd needs the npm package fzstd)
//
// Numbers in comments are sections of the specification.

import { createCipheriv, createDecipheriv } from 'node:crypto';
import { readFileSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';

const FEWEST_VECTORS = 25;
const MAX_EXPANDED = 64 << 20; // §4
const MAX_CONTEXT = 16384; // §2.3

/** An answer other than a payload: one of the words of README.md, or 'skipped'. */
class Refusal extends Error {
  constructor(answer, why) { super(why); this.answer = answer; }
}
const refuse = (answer, why) => { throw new Refusal(answer, why); };
const malformed = (why) => refuse('malformed', why);

// ---- §2: the outer payload

const KEY_ID = /^([A-Za-z0-9_][A-Za-z0-9_.-]*(?:\/[A-Za-z0-9_][A-Za-z0-9_.-]*)*)\/([0-9a-f]{8})$/;

/** §2.3. Reading and writing it again must give the same bytes, which leaves no room for a second form. */
function parseContext(raw) {
  const later = /^\{"v":([1-9][0-9]*)[,}]/.exec(raw.toString('latin1'));
  if (later && later[1] !== '1') refuse('unknown-version', `context version ${later[1]}`);
  if (raw.length > MAX_CONTEXT) malformed('context too long');
  let read;
  try { read = JSON.parse(raw.toString('utf8')); } catch { malformed('context is no JSON'); }
  const { ns, wf } = read ?? {};
  for (const text of wf === undefined ? [ns] : [ns, wf]) {
    // JSON.stringify would write half a surrogate pair as an escape, but no UTF-8 text has one.
    if (typeof text !== 'string' || text === '' || !text.isWellFormed()) malformed('bad string in the context');
  }
  if (!Buffer.from(JSON.stringify({ v: 1, ns, wf })).equals(raw)) malformed('context not in canonical form');
  return { ns, wf };
}

function parseOuter({ metadata, data, external }) {
  // The version first, because a later one may change every other rule.
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

// ---- §3: decryption

const aesBlock = (key, block) => createCipheriv('aes-256-ecb', key, null).setAutoPadding(false).update(block);

/** AES-CMAC (NIST SP 800-38B) of exactly one block, all that XAES-256-GCM needs: of the subkeys only K1 has a use. */
function cmacOfBlock(key, block) {
  const l = aesBlock(key, Buffer.alloc(16));
  const masked = l.map((byte, i) => (((byte << 1) | ((l[i + 1] ?? 0) >> 7)) & 0xff) ^ block[i]);
  if (l[0] & 0x80) masked[15] ^= 0x87;
  return aesBlock(key, masked);
}

function decrypt({ type, secret }, { metadata, data }) {
  const associated = [Buffer.from('signet/payload/v1\0')];
  for (const name of ['encoding', 'encryption-key-id', 'encryption-context']) {
    const value = metadata.get(name), length = Buffer.alloc(4);
    length.writeUInt32BE(value.length);
    associated.push(length, value);
  }
  let key = secret, box = data.subarray(5);
  if (type === 'XAES_256_GCM') {
    if (box.length < 40) refuse('not-authentic', 'no room for nonce and tag');
    const half = (i) => cmacOfBlock(secret, Buffer.concat([Buffer.from([0, i, 0x58, 0]), box.subarray(0, 12)]));
    key = Buffer.concat([half(1), half(2)]);
    box = box.subarray(12);
  }
  const gcm = createDecipheriv('aes-256-gcm', key, box.subarray(0, 12), { authTagLength: 16 });
  gcm.setAAD(Buffer.concat(associated)).setAuthTag(box.subarray(-16));
  const text = gcm.update(box.subarray(12, -16)); // not to be looked at before final() has agreed
  try { gcm.final(); } catch { refuse('not-authentic', 'decryption failed'); }
  return text;
}

// ---- §4: plaintext

/** Expands one zstd frame (RFC 8878, 3.1.1) with nothing behind it. Its own checksum, if any, is not verified. */
function expand(frame, zstd) {
  if (frame.length < 9 || frame.readUInt32LE(0) !== 0xfd2fb528 || frame[4] & 0x08) malformed('no zstd frame');
  const single = (frame[4] >> 5) & 1, checksum = (frame[4] >> 2) & 1;
  const idBytes = [0, 1, 2, 4][frame[4] & 3], sizeBytes = [single, 2, 4, 8][frame[4] >> 6];
  const little = (from, n) => frame.subarray(from, from + n).reduceRight((sum, byte) => sum * 256 + byte, 0);
  if (little(6 - single, idBytes) !== 0) malformed('zstd dictionary');
  const size = little(6 - single + idBytes, sizeBytes) + (sizeBytes === 2 ? 256 : 0);
  // The library takes memory for the whole window before the first byte is out.
  const window = single ? size : 2 ** (10 + (frame[5] >> 3)) * (1 + (frame[5] & 7) / 8);
  if (size > MAX_EXPANDED || window > MAX_EXPANDED) malformed('expands too far');
  let end = 6 - single + idBytes + sizeBytes;
  for (let last = 0; !last;) { // from block to block: the frame must end where the body does
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

/** Reads a protobuf message: calls `field(number, value)` for each field of bytes and each varint, and passes over the others. */
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
    const tag = varint(), number = Math.floor(tag / 8), wire = tag % 8;
    if (number < 1 || number > 0x1fffffff) malformed('protobuf field number');
    if (wire === 0) field(number, varint());
    else if (wire === 1) take(8);
    else if (wire === 2) field(number, take(varint()));
    else if (wire === 5) take(4);
    else malformed('protobuf wire type'); // among them groups, which proto3 does not have
  }
}

function readPayload(bytes) {
  const payload = { metadata: new Map(), data: Buffer.alloc(0), external: [] };
  readMessage(bytes, (number, value) => {
    if (number === 1) { // a map entry: a message of key = 1 and value = 2, of which either may be missing
      let name = Buffer.alloc(0), content = name;
      readMessage(value, (n, v) => { if (n === 1) name = v; else if (n === 2) content = v; });
      if (!Buffer.from(name.toString('utf8')).equals(name)) malformed('metadata key is no UTF-8');
      payload.metadata.set(name.toString('utf8'), content);
    } else if (number === 2) payload.data = value;
    else if (number === 3) readMessage(value, (n, size) => n === 1 && payload.external.push({ sizeBytes: String(size) }));
  });
  return payload;
}

// ---- §6: the steps of a decoder

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

// ---- The vectors

function payloadFromJSON(text) {
  const { metadata = {}, data = '', ...rest } = JSON.parse(text);
  const entries = Object.entries(metadata).map(([name, value]) => [name, Buffer.from(value, 'base64')]);
  return { metadata: new Map(entries), data: Buffer.from(data, 'base64'), external: Object.values(rest).flat() };
}

/** One spelling of a payload, to compare and to print. */
const show = ({ metadata, data, external }) => JSON.stringify(
  [[...metadata].map(([name, value]) => [name, value.toString('base64')]).sort(), data.toString('base64'), external]);

/** undefined if the vector passes, 'skipped', or what is wrong. Any error but a Refusal is a fault, and thrown on. */
function runVector(text, zstd) {
  const [, head, body] = /^(.+?)\n\n(.+)\n$/s.exec(text);
  const lines = { about: [], expect: [], key: [], keyset: [], scope: [], workflow: [], plaintext: [], 'opens-to': [] };
  for (const line of head.split('\n')) {
    const [, name, value] = /^([a-z-]+): (.*)$/.exec(line);
    lines[name].push(value);
  }
  const keys = new Map(lines.key.map((line) => line.split(' '))
    .map(([name, type, hex]) => [name, { type, secret: Buffer.from(hex, 'hex') }]));
  const decoder = { keys, keysets: lines.keyset, scopes: lines.scope, workflow: lines.workflow[0],
    plaintextAllowed: lines.plaintext[0] === 'allowed' };
  const [expect] = lines.expect;
  const want = expect === 'payload' ? show(payloadFromJSON(lines['opens-to'][0])) : expect;
  try {
    const got = show(decode(payloadFromJSON(body), decoder, zstd));
    return got === want ? undefined : `expected ${want}, got ${got}`;
  } catch (e) {
    if (!(e instanceof Refusal)) throw e;
    if (e.answer === 'skipped') return e.answer;
    return e.answer === want ? undefined : `expected ${want}, got ${e.answer} (${e.message})`;
  }
}

// import() does not look at NODE_PATH, and require does.
const zstd = await import('fzstd').catch(() => createRequire(import.meta.url)('fzstd')).catch(() => undefined);
const here = new URL('./', import.meta.url);
const files = readdirSync(here).filter((name) => name.endsWith('.txt'));
let passed = 0, failed = 0, skipped = 0;
for (const name of files) {
  let problem;
  try { problem = runVector(readFileSync(new URL(name, here), 'utf8'), zstd); } catch (e) { problem = String(e); }
  if (problem === undefined) passed++;
  else if (problem === 'skipped') skipped++;
  else { failed++; console.log(`${name}: ${problem}`); }
}
if (skipped > 0) console.log('skipped: no zstd');
if (files.length < FEWEST_VECTORS) console.log(`${files.length} vectors found, fewer than ${FEWEST_VECTORS}`);
console.log(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`);
process.exitCode = failed > 0 || files.length < FEWEST_VECTORS ? 1 : 0;
