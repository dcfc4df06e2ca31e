package converter

import (
	"bytes"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	commonpb "go.temporal.io/api/common/v1"

	"github.com/signet-temporal/signet/internal/wire"
)

func openingScenes() map[string]scene {
	ssn := jsonPayload(`{"patient":"Ada","ssn":"078-05-1120"}`)
	long := jsonPayload(`"` + strings.Repeat("the same words again ", 100) + `"`)
	inner := scene{by: xaesKey, inner: ssn}
	return map[string]scene{
		"open-xaes":            {about: "sealed under XAES_256_GCM for a workflow, opened in it", expect: "payload", by: xaesKey, wf: "intake-17", found: "intake-17", inner: ssn},
		"open-xaes-zstd":       {about: "the same key type, body compressed", expect: "payload", by: xaesKey, wf: "intake-17", found: "intake-17", inner: long, flag: wire.Zstd},
		"open-aesgcm":          {about: "sealed under AES256_GCM", expect: "payload", by: gcmKey, wf: "intake-17", found: "intake-17", inner: ssn},
		"open-aesgcm-zstd":     {about: "AES256_GCM, body compressed", expect: "payload", by: gcmKey, wf: "intake-17", found: "intake-17", inner: long, flag: wire.Zstd},
		"open-no-workflow":     {about: "sealed where the encoder knew no workflow, opened in one", expect: "payload", by: xaesKey, found: "intake-17", inner: ssn},
		"open-workflow-unsaid": {about: "sealed for a workflow, opened where the decoder knows none, as a codec server", expect: "payload", by: xaesKey, wf: "intake-17", inner: ssn},
		"open-nothing":         {about: "the payload inside has neither metadata nor data", expect: "payload", by: xaesKey, inner: &commonpb.Payload{}},
		"open-null":            {about: "the payload inside is a null", expect: "payload", by: xaesKey, inner: &commonpb.Payload{Metadata: map[string][]byte{"encoding": []byte("binary/null")}}},
		"open-protobuf":        {about: "two metadata entries inside", expect: "payload", by: gcmKey, inner: &commonpb.Payload{Metadata: map[string][]byte{"encoding": []byte("json/protobuf"), "messageType": []byte("acme.Order")}, Data: []byte(`{}`)}},
		"open-escapes":         {about: "scope and workflow id with characters that JSON escapes, and some it does not", expect: "payload", by: xaesKey, scope: `pay"\ments`, scopes: []string{`pay"\ments`}, wf: "Zoë/<1>&\u2028\x7f\t\x01", inner: ssn},
		"open-all-escapes":     {about: "every escape there is", expect: "payload", by: xaesKey, wf: "\b\t\n\f\r\x00\x0b\x0e\x1f\"\\", found: "", inner: ssn},
		"open-longest-context": {about: "a context of exactly 16,384 bytes", expect: "payload", by: xaesKey, scope: strings.Repeat("a", 16384-15), scopes: []string{strings.Repeat("a", 16384-15)}, inner: ssn},
		"open-long-keyset":     {about: "a keyset name of 200 bytes in three segments with every kind of character", expect: "payload", by: longName, keysets: []string{longName.keyset}, inner: ssn},
		"open-external":        {about: "external payloads inside", expect: "payload", by: xaesKey, inner: &commonpb.Payload{Data: []byte("x"), ExternalPayloads: []*commonpb.Payload_ExternalPayloadDetails{{SizeBytes: 70000}, {SizeBytes: 1}}}},
		"open-shortest":        {about: "34 bytes of data, the shortest there is", expect: "payload", by: gcmKey, inner: &commonpb.Payload{}},
		"open-other-scope":     {about: "sealed for a scope that the decoder accepts beside its own", expect: "payload", by: xaesKey, scope: "payments-old", scopes: []string{"payments", "payments-old"}, inner: ssn},
		"open-retired-key":     {about: "sealed under an older key of the keyset", expect: "payload", by: oldKey, readers: []vectorKey{oldKey, xaesKey, gcmKey}, inner: ssn},
		"open-tenant-keyset":   {about: "sealed under another keyset that the decoder accepts; its key has the same id", expect: "payload", by: tenantKey, readers: []vectorKey{xaesKey, tenantKey}, keysets: []string{"ns/payments", "tenant/acme"}, inner: ssn},
		"open-scheduled":       {about: "a schedule's argument, sealed for the action's id, found in the workflow that the schedule started", expect: "payload", by: xaesKey, wf: "nightly", found: "nightly-2026-11-21T20:05:25Z", inner: ssn},
		"open-scheduled-last":  {about: "the last result of a scheduled workflow, found in the next one", expect: "payload", by: xaesKey, wf: "nightly-2026-11-20T20:05:25Z", found: "nightly-2026-11-21T20:05:25Z", inner: ssn},
		"open-doubled":         {about: "a sealed payload sealed again by hand: one layer is opened", expect: "payload", by: xaesKey, inner: must(inner), opensTo: must(inner)},
		"open-plaintext":       {about: "not sealed, where the decoder allows plaintext", expect: "payload", by: xaesKey, present: ssn, opensTo: ssn, plaintext: true},
		"open-foreign":         {about: "another codec's binary/encrypted, where the decoder allows what is not ours", expect: "payload", by: xaesKey, present: foreign(), opensTo: foreign(), plaintext: true},
	}
}

func tamperedScenes() map[string]scene {
	base := scene{expect: "not-authentic", by: xaesKey, wf: "intake-17", inner: jsonPayload(`"x"`)}
	with := func(about string, change func(*scene)) scene {
		s := base
		s.about = about
		change(&s)
		return s
	}
	tamper := func(about string, by func(*commonpb.Payload)) scene {
		return with(about, func(s *scene) { s.tamper = by })
	}
	both := []vectorKey{xaesKey, tenantKey}
	return map[string]scene{
		"tampered-nonce":       tamper("a bit of the nonce flipped", flip(5)),
		"tampered-body":        tamper("a bit of the ciphertext flipped", flip(29)),
		"tampered-tag":         tamper("a bit of the tag flipped", flip(-1)),
		"tampered-longer":      tamper("a byte appended", func(p *commonpb.Payload) { p.Data = append(p.Data, 0) }),
		"tampered-last-byte":   tamper("the last byte cut off", cutTo(-1)),
		"tampered-no-tag":      tamper("the whole tag cut off", cutTo(-16)),
		"tampered-after-nonce": tamper("cut off after the nonce, filled up with zeros to the shortest length", func(p *commonpb.Payload) { p.Data = append(p.Data[:29:29], make([]byte, 17)...) }),
		"tampered-scope": with("the scope in the context changed to another that the decoder accepts", func(s *scene) {
			s.scopes, s.tamper = []string{"payments", "orders"}, relabelContext("orders", "intake-17")
		}),
		"tampered-workflow":      with("the workflow id in the context changed to the decoder's own", func(s *scene) { s.found, s.tamper = "intake-18", relabelContext("payments", "intake-18") }),
		"tampered-workflow-gone": with("the workflow id taken out of the context", func(s *scene) { s.found, s.tamper = "intake-18", relabelContext("payments", "") }),
		"tampered-keyset": with("the keyset's name changed to another whose key has the same id", func(s *scene) {
			s.readers, s.keysets, s.tamper = both, []string{"ns/payments", "tenant/acme"}, setMeta(wire.MetadataKeyID, "tenant/acme/1f2e3d4c")
		}),
		"tampered-key": with("key id and prefix changed to another key of the keyset", func(s *scene) {
			s.readers, s.tamper = []vectorKey{xaesKey, oldKey}, relabel("ns/payments/0000abcd", 0, 0, 0xab, 0xcd)
		}),
		"refused-moved":              with("untouched, but found in another workflow", func(s *scene) { s.found = "intake-18" }),
		"refused-scope":              with("untouched, but sealed for a scope that the decoder does not accept", func(s *scene) { s.scope = "orders" }),
		"refused-keyset":             with("untouched, but sealed under a keyset that the decoder does not accept", func(s *scene) { s.by, s.readers = tenantKey, both }),
		"refused-schedule-prefix":    with("a workflow whose id only begins like the one it was sealed for", func(s *scene) { s.wf, s.found = "nightly", "nightly-2026" }),
		"refused-wrong-material":     with("the decoder has other bytes for this key id", func(s *scene) { s.readers = []vectorKey{{"ns/payments", xaesKey.id, xaesKey.typ, oldKey.raw}} }),
		"refused-unknown-key":        with("the decoder has no key of this id", func(s *scene) { s.expect, s.readers = "key-unavailable", []vectorKey{oldKey} }),
		"refused-no-keys":            with("the decoder has no key of the keyset", func(s *scene) { s.expect, s.readers = "key-unavailable", []vectorKey{tenantKey} }),
		"refused-other-domain":       with("sealed with associated data of another format", func(s *scene) { s.tamper = otherDomain }),
		"refused-no-associated":      with("sealed by the right key without associated data", func(s *scene) { s.tamper = noAssociated }),
		"tampered-short":             tamper("long enough for AES256_GCM, too short for the nonce and tag of this key", cutTo(40)),
		"tampered-plaintext-allowed": with("tampered with, and the decoder accepts plaintext: still an error", func(s *scene) { s.plaintext, s.tamper = true, flip(-1) }),
		"refused-key-plaintext-allowed": with("no such key, and the decoder accepts plaintext: still an error", func(s *scene) {
			s.expect, s.plaintext, s.readers = "key-unavailable", true, []vectorKey{oldKey}
		}),
		"refused-scope-before-key": with("neither the scope is accepted nor the key there: the scope is looked at first", func(s *scene) { s.scope, s.readers = "orders", []vectorKey{oldKey} }),
		"refused-no-such-date":     with("a suffix like a schedule's, with a date that does not exist", func(s *scene) { s.wf, s.found = "nightly", "nightly-2026-02-30T20:05:25Z" }),
		"refused-fraction":         with("a suffix like a schedule's, with a fraction of a second", func(s *scene) { s.wf, s.found = "nightly", "nightly-2026-11-21T20:05:25.5Z" }),
		"refused-two-suffixes":     with("two suffixes: only one is taken off", func(s *scene) { s.wf, s.found = "nightly", "nightly-2026-11-20T20:05:25Z-2026-11-21T20:05:25Z" }),
		"refused-only-suffix":      with("nothing in front of the suffix", func(s *scene) { s.wf, s.found = "-2026-11-20T20:05:25Z", "-2026-11-21T20:05:25Z" }),
		"refused-system":           {about: "an envelope of Temporal's own: a worker's decoder is never asked", expect: "not-sealed", by: xaesKey, present: &commonpb.Payload{Metadata: map[string][]byte{"encoding": []byte("binary/protobuf"), "__temporal_system_payload": []byte("true")}, Data: []byte{0x0a}}},
		"refused-plaintext":        {about: "not sealed", expect: "not-sealed", by: xaesKey, present: jsonPayload(`"x"`)},
		"refused-foreign":          {about: "another codec's binary/encrypted", expect: "not-sealed", by: xaesKey, present: foreign()},
		"refused-reference":        {about: "a reference to external storage: the SDK resolves it before the codec", expect: "not-sealed", by: xaesKey, present: &commonpb.Payload{Metadata: map[string][]byte{"encoding": []byte("json/protobuf"), "messageType": []byte("temporal.api.sdk.v1.ExternalStorageReference")}, Data: []byte(`{}`)}},
		"refused-stripped-context": with("encryption-context taken away: not ours any more", func(s *scene) { s.expect, s.tamper = "not-sealed", dropMeta(wire.MetadataContext) }),
	}
}

func malformedScenes() map[string]scene {
	all := map[string]scene{}
	add := func(name, about string, by func(*commonpb.Payload)) {
		all["malformed-"+name] = scene{about: about, expect: "malformed", by: xaesKey, wf: "intake-17", inner: jsonPayload(`"x"`), tamper: by}
	}
	add("encoding", "encoding is not binary/encrypted", setMeta("encoding", "json/plain"))
	add("stripped-encoding", "encoding taken away", dropMeta("encoding"))
	add("stripped-key-id", "encryption-key-id taken away", dropMeta(wire.MetadataKeyID))
	add("extra-metadata", "a metadata key that is not authenticated", setMeta("messageType", "acme.Order"))
	add("key-id-differs", "encryption-key-id names another key than the data's prefix", setMeta(wire.MetadataKeyID, "ns/payments/0000abcd"))
	add("key-id-upper-case", "upper-case hex digits", setMeta(wire.MetadataKeyID, "ns/payments/1F2E3D4C"))
	add("key-id-short", "seven hex digits", setMeta(wire.MetadataKeyID, "ns/payments/f2e3d4c"))
	add("key-id-path", "the keyset's name walks up", setMeta(wire.MetadataKeyID, "../payments/1f2e3d4c"))
	add("context-space", "white space in the context", setMeta(wire.MetadataContext, `{"v":1, "ns":"payments"}`))
	add("context-order", "members in another order", setMeta(wire.MetadataContext, `{"ns":"payments","v":1}`))
	add("context-twice", "two scopes", setMeta(wire.MetadataContext, `{"v":1,"ns":"payments","ns":"orders"}`))
	add("context-empty-scope", "an empty scope", setMeta(wire.MetadataContext, `{"v":1,"ns":""}`))
	add("context-empty-workflow", "an empty workflow id", setMeta(wire.MetadataContext, `{"v":1,"ns":"payments","wf":""}`))
	add("context-escape", "an escape that the canonical form does not have", setMeta(wire.MetadataContext, `{"v":1,"ns":"\u0070ayments"}`))
	add("context-utf8", "bytes that are not UTF-8", setMeta(wire.MetadataContext, "{\"v\":1,\"ns\":\"\xff\"}"))
	add("context-member", "a member that v1 does not have", setMeta(wire.MetadataContext, `{"v":1,"ns":"payments","rg":"eu"}`))
	add("context-v0", "version 0", setMeta(wire.MetadataContext, `{"v":0,"ns":"payments"}`))
	add("context-v-fraction", "a version that is no integer", setMeta(wire.MetadataContext, `{"v":2.5,"ns":"payments"}`))
	add("context-v-zero", "a version with a leading zero", setMeta(wire.MetadataContext, `{"v":02,"ns":"payments"}`))
	add("context-surrogate", "an escaped lone surrogate", setMeta(wire.MetadataContext, `{"v":1,"ns":"\ud800"}`))
	add("context-escape-case", "upper-case hex digits in an escape", setMeta(wire.MetadataContext, `{"v":1,"ns":"\u001F"}`))
	add("context-escape-long", "the long form of an escape that has a short one", setMeta(wire.MetadataContext, `{"v":1,"ns":"\u000a"}`))
	add("context-too-long", "one byte more than 16,384", setMeta(wire.MetadataContext, `{"v":1,"ns":"`+strings.Repeat("a", 16385-15)+`"}`))
	add("key-id-name-too-long", "a keyset name of 201 bytes", setMeta(wire.MetadataKeyID, strings.Repeat("k", 201)+"/1f2e3d4c"))
	add("key-id-empty-segment", "an empty segment in the keyset's name", setMeta(wire.MetadataKeyID, "ns//payments/1f2e3d4c"))
	add("key-id-dash", "a later segment that begins with a dash", setMeta(wire.MetadataKeyID, "ns/-payments/1f2e3d4c"))
	add("key-id-dot", "a later segment that begins with a dot", setMeta(wire.MetadataKeyID, "ns/.payments/1f2e3d4c"))
	add("external-payloads", "external payloads on the outside, which nothing authenticates", func(p *commonpb.Payload) {
		p.ExternalPayloads = []*commonpb.Payload_ExternalPayloadDetails{{SizeBytes: 7}}
	})
	add("cut-to-33", "one byte short of the shortest length", cutTo(33))
	add("context-not-json", "no JSON at all", setMeta(wire.MetadataContext, `payments`))
	add("no-data", "no data", cutTo(0))
	add("cut-in-prefix", "cut off inside the prefix", cutTo(3))
	add("cut-after-prefix", "cut off after the prefix", cutTo(5))
	add("cut-after-nonce", "cut off after the nonce", cutTo(29))
	add("prefix-byte", "the first byte is not 0x01", func(p *commonpb.Payload) { p.Data[0] = 0 })

	authentic := func(name, about, expect string, raw []byte) {
		all[name] = scene{about: about, expect: expect, by: xaesKey, raw: raw}
	}
	authentic("malformed-empty-plaintext", "authentic, but not even a flag inside", "malformed", []byte{})
	authentic("malformed-not-a-payload", "authentic, but the body is no payload", "malformed", []byte{0, 0xff, 0xff})
	authentic("malformed-zstd", "authentic, but the body is no zstd frame", "malformed", []byte{1, 'x'})
	authentic("malformed-bomb", "authentic, and expands to 65 MiB", "malformed", bomb())
	authentic("malformed-bomb-unsized", "the same, in a frame that does not state its size", "malformed", unsizedBomb())
	authentic("malformed-inner-utf8", "authentic, but a metadata key inside is not UTF-8", "malformed", []byte{0, 0x0a, 0x05, 0x0a, 0x01, 0xff, 0x12, 0x00})
	authentic("version-flag", "authentic, with a flag that v1 does not have", "unknown-version", []byte{7, 0})
	allowed := all["malformed-key-id-differs"]
	allowed.about, allowed.plaintext = "malformed, and the decoder accepts plaintext: still an error", true
	all["malformed-plaintext-allowed"] = allowed
	v2 := scene{about: "a later format version", expect: "unknown-version", by: xaesKey, inner: jsonPayload(`"x"`)}
	v2.tamper = setMeta(wire.MetadataContext, `{"v":2,"region":"eu","ns":"payments"}`)
	all["version-2"] = v2
	worse := v2
	worse.about = "a later format version that breaks rules of v1 as well"
	worse.tamper = func(p *commonpb.Payload) {
		v2.tamper(p)
		p.Metadata["region"], p.Data = []byte("eu"), p.Data[:7]
	}
	all["version-2-unlike-v1"] = worse
	return all
}

func must(s scene) *commonpb.Payload {
	// A fixed ciphertext, because scenes are also listed where randomness is not fixed.
	header, err := wire.Outer{Keyset: s.by.keyset, KeyID: s.by.id, Scope: "payments"}.Header()
	if err != nil {
		panic(err)
	}
	data := append([]byte{1, 0x1f, 0x2e, 0x3d, 0x4c}, bytes.Repeat([]byte{0x55}, 60)...)
	return &commonpb.Payload{Metadata: header.Metadata([]byte(wire.Encoding)), Data: data}
}

func foreign() *commonpb.Payload {
	return &commonpb.Payload{
		Metadata: map[string][]byte{"encoding": []byte("binary/encrypted"), "encryption-key-id": []byte("test")},
		Data:     bytes.Repeat([]byte{0x66}, 48),
	}
}

func relabelContext(scope, workflow string) func(*commonpb.Payload) {
	c, err := wire.NewContext(scope, workflow)
	if err != nil {
		panic(err)
	}
	return setMeta(wire.MetadataContext, string(c))
}

func relabel(keyID string, prefix ...byte) func(*commonpb.Payload) {
	return func(p *commonpb.Payload) {
		p.Metadata[wire.MetadataKeyID] = []byte(keyID)
		copy(p.Data[1:], prefix)
	}
}

func otherDomain(p *commonpb.Payload) {
	ad := wire.HeaderOf(p.Metadata).AppendAssociatedData(nil)
	resealWith(p, bytes.Replace(ad, []byte("payload/v1"), []byte("header/v1\x00"), 1))
}

func noAssociated(p *commonpb.Payload) { resealWith(p, nil) }

func resealWith(p *commonpb.Payload, associated []byte) {
	data, err := xaesKey.aead(&testing.T{}).Encrypt([]byte{0}, associated)
	if err != nil {
		panic(err)
	}
	p.Data = data
}

func bomb() []byte {
	w, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBestCompression))
	if err != nil {
		panic(err)
	}
	return append([]byte{1}, w.EncodeAll(tooMuch(), nil)...)
}

// unsizedBomb is a frame that does not say how much it expands to.
func unsizedBomb() []byte {
	out := bytes.NewBuffer([]byte{1})
	w, err := zstd.NewWriter(out, zstd.WithEncoderLevel(zstd.SpeedBestCompression))
	if err == nil {
		_, err = w.ReadFrom(bytes.NewReader(tooMuch()))
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		panic(err)
	}
	return out.Bytes()
}

// tooMuch is a payload with 65 MiB of data, whole and well-formed.
func tooMuch() []byte {
	return append([]byte{0x12, 0x80, 0x80, 0xc0, 0x20}, make([]byte, 65<<20)...)
}
