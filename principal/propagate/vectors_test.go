package propagate

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/cryptotest"
	"time"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/aead/aesgcm"
	"github.com/tink-crypto/tink-go/v2/insecuresecretdataaccess"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/secretdata"
	"github.com/tink-crypto/tink-go/v2/tink"
	commonpb "go.temporal.io/api/common/v1"

	"github.com/signet-temporal/signet/principal"
)

var update = flag.Bool("update", false, "write vectors that do not exist yet; those that do are never overwritten")

const vectorDir = "../../testdata/principals"

// vector is one file there: testdata/principals/README.md has the members.
type vector struct {
	About    string            `json:"about"`
	Expect   string            `json:"expect"`
	Key      string            `json:"key"` // the AES-256-GCM key 89abcdef of the keyset, in hex
	Keyset   string            `json:"keyset"`
	Scope    string            `json:"scope"`
	Hop      *hopOf            `json:"hop,omitempty"`
	Record   *flat             `json:"record,omitempty"`
	Metadata map[string]string `json:"metadata"`
	Data     string            `json:"data"`
}

type hopOf struct {
	Target  string `json:"target"`
	Name    string `json:"name"`
	Message string `json:"message,omitempty"`
}

type flat struct {
	Kind          byte   `json:"kind"`
	Cron          bool   `json:"cron"`
	Service       bool   `json:"service"`
	SealedAt      int64  `json:"sealedAt"`
	IssuedAt      int64  `json:"issuedAt"`
	Authenticated int64  `json:"authenticatedAt,omitempty"`
	Issuer        string `json:"issuer"`
	Subject       string `json:"subject"`
	Tenant        string `json:"tenant"`
	Txn           string `json:"txn"`
}

func flatten(r Record) *flat {
	f := &flat{Kind: byte(r.Kind), Cron: r.Cron, Service: r.Principal.Kind == principal.KindService, SealedAt: r.SealedAt.Unix(), IssuedAt: r.Principal.IssuedAt.Unix(),
		Issuer: r.Principal.Issuer, Subject: r.Principal.Subject, Tenant: r.Principal.Tenant, Txn: r.Principal.Txn}
	if !r.Principal.AuthTime.IsZero() {
		f.Authenticated = r.Principal.AuthTime.Unix()
	}
	return f
}

const vectorKeyID = 0x89abcdef

// vectorKeys is a ring of the one key that all vectors share. It is in clear for everybody: never use it for anything.
type vectorKeys struct{ tink.AEAD }

func (k vectorKeys) Primary(string) (uint32, tink.AEAD, error) { return vectorKeyID, k, nil }
func (k vectorKeys) Lookup(_ string, id uint32) (tink.AEAD, error) {
	if id != vectorKeyID {
		return nil, os.ErrNotExist
	}
	return k, nil
}

var vectorKey = bytes.Repeat([]byte{0x33}, 32)

func newVectorKeys(t *testing.T) vectorKeys {
	t.Helper()
	params, err := aesgcm.NewParameters(aesgcm.ParametersOpts{KeySizeInBytes: 32, IVSizeInBytes: 12, TagSizeInBytes: 16, Variant: aesgcm.VariantTink})
	if err != nil {
		t.Fatal(err)
	}
	key, err := aesgcm.NewKey(secretdata.NewBytesFromData(vectorKey, insecuresecretdataaccess.Token{}), vectorKeyID, params)
	if err != nil {
		t.Fatal(err)
	}
	manager := keyset.NewManager()
	if _, err := manager.AddKey(key); err != nil {
		t.Fatal(err)
	}
	if err := manager.SetPrimary(vectorKeyID); err != nil {
		t.Fatal(err)
	}
	handle, err := manager.Handle()
	if err != nil {
		t.Fatal(err)
	}
	primitive, err := aead.New(handle)
	if err != nil {
		t.Fatal(err)
	}
	return vectorKeys{primitive}
}

func TestVectors(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(vectorDir, "*.json"))
	if err != nil || len(files) < 10 {
		t.Fatalf("%d vectors, %v", len(files), err)
	}
	keys := newVectorKeys(t)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".json"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var v vector
			if err := json.Unmarshal(text, &v); err != nil {
				t.Fatal(err)
			}
			s, err := NewSealer(keys, v.Keyset, v.Scope)
			if err != nil {
				t.Fatal(err)
			}
			payload := &commonpb.Payload{Metadata: map[string][]byte{}}
			for key, value := range v.Metadata {
				payload.Metadata[key] = []byte(value)
			}
			if payload.Data, err = base64.StdEncoding.DecodeString(v.Data); err != nil {
				t.Fatal(err)
			}
			r, err := s.Open(payload)
			if got := reason(err); got != v.Expect && !(err == nil && v.Expect == "opens") {
				t.Fatalf("the answer is %q (%v), want %q", got, err, v.Expect)
			}
			if err != nil {
				return
			}
			place := PlaceOf(r.Kind, v.Hop.Target, v.Hop.Name)
			var message Place
			if v.Hop.Message != "" {
				message = PlaceOf(KindMessage, v.Hop.Target, v.Hop.Message)
			}
			if *flatten(r) != *v.Record || r.Place != place || r.Message != message {
				t.Errorf("it opens to %+v, want %+v at %+v", r, v.Record, v.Hop)
			}
		})
	}
}

// TestWriteVectors writes what is missing, with -update.
func TestWriteVectors(t *testing.T) {
	if !*update {
		return
	}
	keys := newVectorKeys(t)
	seconds := func(s int64) time.Time { return time.Unix(s, 0).UTC() }
	user := principal.Principal{Kind: principal.KindUser, Issuer: "https://idp.example", Subject: "ann-17", Tenant: "acme", Txn: "t-1", AuthTime: seconds(1795694100), IssuedAt: seconds(1795694399)}
	service := principal.Principal{Kind: principal.KindService, Subject: "nightly", IssuedAt: seconds(1795690000)}
	longest := user
	for _, text := range []*string{&longest.Issuer, &longest.Subject, &longest.Tenant, &longest.Txn} {
		*text = strings.Repeat("~", 256)
	}
	ahead := user
	ahead.IssuedAt, ahead.AuthTime = seconds(1795694460), time.Time{}
	start := func(p principal.Principal) Record {
		return Record{Principal: p, Kind: KindStart, SealedAt: seconds(1795694400), Place: PlaceOf(KindStart, "intake-4711", "Intake")}
	}
	hop := &hopOf{Target: "intake-4711", Name: "Intake"}
	plain := func(change func([]byte) []byte) []byte {
		text, err := start(user).append(nil)
		if err != nil {
			t.Fatal(err)
		}
		return change(text)
	}
	for name, v := range map[string]struct {
		about, expect, scope string
		record               Record
		hop                  *hopOf
		raw                  []byte // instead of record
		tamper               func(*vector)
	}{
		"start":          {about: "the example of §4.3", expect: "opens", record: start(user), hop: hop},
		"schedule":       {about: "a service", expect: "opens", record: Record{Principal: service, Kind: KindSchedule, SealedAt: seconds(1795694400), Place: PlaceOf(KindSchedule, "nightly", "Bill")}, hop: &hopOf{Target: "nightly", Name: "Bill"}},
		"cron":           {about: "with flag 1", expect: "opens", record: func() Record { r := start(user); r.Cron = true; return r }(), hop: hop},
		"with-message":   {about: "signal-with-start, with flag 8", expect: "opens", record: Record{Principal: user, Kind: KindStart, SealedAt: seconds(1795694400), Place: PlaceOf(KindStart, "intake-4711", ""), Message: PlaceOf(KindMessage, "intake-4711", "approve")}, hop: &hopOf{Target: "intake-4711", Message: "approve"}},
		"longest":        {about: "four texts of 256 bytes", expect: "opens", record: start(longest), hop: hop},
		"issued-ahead":   {about: "issued after it was sealed: clocks differ", expect: "opens", record: start(ahead), hop: hop},
		"other-scope":    {about: "read for another scope", expect: ReasonNotAuthentic, scope: "orders", record: start(user)},
		"tampered":       {about: "one bit of the ciphertext", expect: ReasonNotAuthentic, record: start(user), tamper: func(v *vector) { v.Data = flipped(t, v.Data) }},
		"other-keyset":   {about: "another keyset's name", expect: ReasonNotAuthentic, record: start(user), tamper: func(v *vector) { v.Metadata["encryption-key-id"] = "principal/orders/89abcdef" }},
		"other-encoding": {about: "a header of somebody else", expect: ReasonNotSealed, record: start(user), tamper: func(v *vector) { v.Metadata["encoding"] = "json/plain" }},
		"other-key-id":   {about: "the prefix of data names another key", expect: ReasonMalformed, record: start(user), tamper: func(v *vector) { v.Metadata["encryption-key-id"] = "principal/payments/00000001" }},
		"more-metadata":  {about: "metadata that is not authenticated", expect: ReasonMalformed, record: start(user), tamper: func(v *vector) { v.Metadata["who"] = "ann" }},
		"bytes-behind":   {about: "a byte behind the last text", expect: ReasonMalformed, raw: plain(func(b []byte) []byte { return append(b, 0) })},
		"cut":            {about: "the last byte is missing", expect: ReasonMalformed, raw: plain(func(b []byte) []byte { return b[:len(b)-1] })},
		"long-number":    {about: "a uvarint that is not in its shortest form", expect: ReasonMalformed, raw: plain(func(b []byte) []byte { return append(append(bytes.Clone(b[:6]), b[6]|0x80, 0), b[7:]...) })},
		"unknown-kind":   {about: "kind 9", expect: ReasonMalformed, raw: plain(func(b []byte) []byte { b[0] = 9; return b })},
		"unknown-flag":   {about: "flag 16", expect: ReasonMalformed, raw: plain(func(b []byte) []byte { b[1] |= 16; return b })},
		"line-feed":      {about: "a text with a line feed", expect: ReasonMalformed, raw: plain(func(b []byte) []byte { b[len(b)-1] = '\n'; return b })},
	} {
		file := filepath.Join(vectorDir, name+".json")
		if _, err := os.Stat(file); err == nil {
			continue
		}
		t.Run(name, func(t *testing.T) {
			cryptotest.SetGlobalRandom(t, 1)
			s, err := NewSealer(keys, "principal/payments", "payments")
			if err != nil {
				t.Fatal(err)
			}
			out := vector{About: v.about, Expect: v.expect, Key: strings.Repeat("33", 32), Keyset: "principal/payments", Scope: "payments", Hop: v.hop,
				Metadata: map[string]string{"encoding": Encoding, "encryption-key-id": "principal/payments/89abcdef"}}
			if v.expect == "opens" {
				out.Record = flatten(v.record)
			}
			if v.raw == nil {
				if v.raw, err = v.record.append(nil); err != nil {
					t.Fatal(err)
				}
			}
			data, err := keys.Encrypt(v.raw, s.associatedData([]byte("principal/payments/89abcdef")))
			if err != nil {
				t.Fatal(err)
			}
			out.Data = base64.StdEncoding.EncodeToString(data)
			if v.scope != "" {
				out.Scope = v.scope
			}
			if v.tamper != nil {
				v.tamper(&out)
			}
			text, err := json.MarshalIndent(out, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, append(text, '\n'), 0o644); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func flipped(t *testing.T, text string) string {
	data, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	data[40] ^= 1
	return base64.StdEncoding.EncodeToString(data)
}
