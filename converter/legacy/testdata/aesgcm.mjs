// Makes aesgcm-*.json with Node's own cipher and a protobuf writer of eight lines, so that nothing of the decoder under
// test is in its fixtures: node aesgcm.mjs
import { createCipheriv, randomBytes } from "node:crypto";
import { writeFileSync } from "node:fs";

const bytes = (text) => Buffer.from(text, "utf8");
const varint = (n) => (n < 128 ? Buffer.from([n]) : Buffer.concat([Buffer.from([(n & 127) | 128]), varint(n >>> 7)]));
const field = (number, value) => Buffer.concat([varint((number << 3) | 2), varint(value.length), value]);
const payload = (metadata, data) =>
  Buffer.concat([
    ...Object.entries(metadata).map(([k, v]) => field(1, Buffer.concat([field(1, bytes(k)), field(2, bytes(v))]))),
    ...(data.length ? [field(2, data)] : []),
  ]);
const json = (metadata, data) => ({
  metadata: Object.fromEntries(Object.entries(metadata).map(([k, v]) => [k, bytes(v).toString("base64")])),
  ...(data.length ? { data: data.toString("base64") } : {}),
});

function seal(key, id, extra, metadata, data) {
  const nonce = randomBytes(12);
  const cipher = createCipheriv(`aes-${key.length * 8}-gcm`, key, nonce);
  const sealed = Buffer.concat([nonce, cipher.update(payload(metadata, data)), cipher.final(), cipher.getAuthTag()]);
  return { payload: json({ encoding: "binary/encrypted", "encryption-key-id": id, ...extra }, sealed), opensTo: json(metadata, data) };
}

function write(name, about, size, ids, extra = {}) {
  const keys = Object.fromEntries(ids.map((id) => [id, randomBytes(size)]));
  const inner = [
    [{ encoding: "json/plain" }, bytes('"made with Node"')],
    [{ encoding: "binary/null" }, Buffer.alloc(0)],
    [{ encoding: "json/protobuf", messageType: "temporal.api.common.v1.WorkflowType" }, bytes('{"name":"intake"}')],
    [{ encoding: "binary/plain" }, Buffer.alloc(700, 0xa5)],
  ];
  const payloads = ids.flatMap((id) => inner.map(([m, d]) => seal(keys[id], id, extra, m, d)));
  const base64 = Object.fromEntries(ids.map((id) => [id, keys[id].toString("base64")]));
  writeFileSync(`${name}.json`, JSON.stringify({ about, keys: base64, payloads }, null, 2) + "\n");
}

write("aesgcm-256", "AES-256, two keys by their ids", 32, ["2023-01", "2024-07"]);
write("aesgcm-192", "AES-192", 24, ["k"]);
write("aesgcm-128", "AES-128", 16, ["k"]);
write("aesgcm-java", "the metadata that Java's sample adds", 32, ["test-key-test-key-test-key-test!"], { "encryption-cipher": "AES/GCM/NoPadding" });
