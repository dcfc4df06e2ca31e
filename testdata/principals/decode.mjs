// SPDX-License-Identifier: Apache-2.0
//
// A reader of sealed principals, written from docs/spec/principal-v1.md alone, and a runner for the vectors beside it:
//
//     node testdata/principals/decode.mjs        (Node 20 or later)
//
// Numbers in comments are sections of the specification. The vectors' keys are AES256_GCM; XAES_256_GCM is in ../vectors/decode.mjs.

import { createDecipheriv, createHash } from 'node:crypto';
import { readFileSync, readdirSync } from 'node:fs';

class Refusal extends Error {
  constructor(answer, why) { super(why); this.answer = answer; }
}
const refuse = (answer, why) => { throw new Refusal(answer, why); };
const malformed = (why) => refuse('malformed', why);

const sized = (bytes) => { const n = Buffer.alloc(4); n.writeUInt32BE(bytes.length); return Buffer.concat([n, bytes]); };

/** §4.2 */
const place = (kind, target, name) => createHash('sha256').update(Buffer.concat([
  Buffer.from('signet/principal/v1/place\0'), Buffer.of(kind), sized(Buffer.from(target)), sized(Buffer.from(name)),
])).digest().subarray(0, 16);

/** §1 to §3: returns the bytes of the record. */
function open(v) {
  const keyId = v.metadata['encryption-key-id'], data = Buffer.from(v.data, 'base64');
  if (v.metadata.encoding !== 'binary/principal-v1') refuse('not-sealed', 'encoding');
  const [, keyset, id] = /^((?:[A-Za-z0-9_][A-Za-z0-9_.-]*\/)*[A-Za-z0-9_][A-Za-z0-9_.-]*)\/([0-9a-f]{8})$/.exec(keyId ?? '') ?? malformed('key id');
  if (Object.keys(v.metadata).length !== 2 || data.length > 2048) malformed('more than there should be');
  if (data.length < 5 || data[0] !== 1 || data.toString('hex', 1, 5) !== id) malformed('prefix of data');
  if (keyset !== v.keyset) refuse('not-authentic', 'another keyset');
  if (id !== '89abcdef') refuse('key-unavailable', 'another key');
  const aad = Buffer.concat([Buffer.from('signet/principal/v1\0'), sized(Buffer.from('binary/principal-v1')), sized(Buffer.from(keyId)), sized(Buffer.from(v.scope))]);
  if (data.length < 5 + 12 + 16) refuse('not-authentic', 'short');
  const aead = createDecipheriv('aes-256-gcm', Buffer.from(v.key, 'hex'), data.subarray(5, 17));
  aead.setAAD(aad).setAuthTag(data.subarray(-16));
  try { return Buffer.concat([aead.update(data.subarray(17, -16)), aead.final()]); } catch { return refuse('not-authentic', 'tag'); }
}

/** §4 */
function parse(bytes) {
  let at = 0;
  const take = (n) => { if (at + n > bytes.length) malformed('cut short'); at += n; return bytes.subarray(at - n, at); };
  const uvarint = () => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const [b] = take(1);
      if (shift > 63n || (b === 0 && shift > 0n)) malformed('number not in its shortest form');
      value |= BigInt(b & 0x7f) << shift;
      if (b < 0x80) return value;
    }
  };
  const varint = () => { const n = uvarint(); return n & 1n ? -(n >> 1n) - 1n : n >> 1n; };
  const time = (t) => (t < 0n || t > 253402300799n ? malformed('time') : Number(t));
  const [kind, flags] = take(2);
  const sealed = uvarint();
  const record = { kind, cron: !!(flags & 1), service: !!(flags & 2), sealedAt: time(sealed), issuedAt: time(sealed - varint()) };
  if (flags & 4) record.authenticatedAt = time(sealed - varint());
  const places = [take(16)];
  if (flags & 8) places.push(take(16));
  if (flags & 8 && places[1].every((b) => b === 0)) malformed('no message place');
  for (const name of ['issuer', 'subject', 'tenant', 'txn']) {
    const n = uvarint();
    if (n > 256n) malformed(`${name} too long`);
    record[name] = take(Number(n)).toString('latin1');
    if (!/^[!-~]*$/.test(record[name])) malformed(`${name} not printable`);
  }
  if (at !== bytes.length || kind < 1 || kind > 7 || flags > 15) malformed('kind, flags or end');
  if (record.subject === '' || (record.issuer === '') !== record.service) malformed('subject or issuer');
  return { record, places };
}

function answer(v) {
  try {
    const { record, places } = parse(open(v));
    const want = [place(record.kind, v.hop.target, v.hop.name)];
    if (v.hop.message) want.push(place(6, v.hop.target, v.hop.message));
    if (!Buffer.concat(places).equals(Buffer.concat(want))) return 'misplaced';
    const same = Object.keys({ ...v.record, ...record }).every((name) => v.record[name] === record[name]);
    return same ? 'opens' : 'another record';
  } catch (e) {
    if (e instanceof Refusal) return e.answer;
    throw e;
  }
}

const dir = new URL('.', import.meta.url);
const files = readdirSync(dir).filter((name) => name.endsWith('.json'));
let wrong = files.length < 10 ? 1 : 0;
for (const file of files) {
  const v = JSON.parse(readFileSync(new URL(file, dir), 'utf8'));
  const got = answer(v);
  if (got !== v.expect) { wrong++; console.error(`${file}: ${got}, want ${v.expect}`); }
}
console.log(`${files.length} vectors, ${wrong} wrong`);
process.exit(wrong ? 1 : 0);
