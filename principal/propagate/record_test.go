package propagate

import (
	"bytes"
	"encoding/hex"
	"testing"
	"time"

	"github.com/signet-temporal/signet/principal"
)

// FuzzParseRecord: whatever parses is written again as the same bytes, so a record has one form, and nothing panics.
func FuzzParseRecord(f *testing.F) {
	noon := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	user := principal.Principal{Kind: principal.KindUser, Issuer: "https://idp", Subject: "ann", Tenant: "acme", Txn: "t", AuthTime: noon, IssuedAt: noon}
	for _, r := range []Record{
		{Principal: user, Kind: KindStart, SealedAt: noon, Place: Place{1}},
		{Principal: user, Kind: KindStart, Cron: true, SealedAt: noon, Place: Place{1}, Message: Place{2}},
		{Principal: principal.Service("nightly", ""), Kind: KindSchedule, SealedAt: noon.Add(-time.Hour), Place: Place{1}},
	} {
		seed, err := r.append(nil)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		r, err := parseRecord(in)
		if err != nil {
			if r != (Record{}) {
				t.Errorf("an error comes with %+v", r)
			}
			return
		}
		out, err := r.append(nil)
		if err != nil || !bytes.Equal(in, out) {
			t.Errorf("%x is written again as %x, %v", in, out, err)
		}
	})
}

// TestARecordHasTheBytesOfTheSpecification: the example of docs/spec/principal-v1.md, §4.3.
func TestARecordHasTheBytesOfTheSpecification(t *testing.T) {
	r := Record{
		Principal: principal.Principal{Kind: principal.KindUser, Issuer: "https://idp.example", Subject: "ann-17", Tenant: "acme", Txn: "t-1",
			AuthTime: time.Unix(1795694100, 0).UTC(), IssuedAt: time.Unix(1795694399, 0).UTC()},
		Kind: KindStart, SealedAt: time.Unix(1795694400, 0).UTC(), Place: PlaceOf(KindStart, "intake-4711", "Intake"),
	}
	const want = "0104" + "c0bea0d806" + "02" + "d804" + "30ae710c68254536be8c3692cd64997d" +
		"13" + "68747470733a2f2f6964702e6578616d706c65" + "06" + "616e6e2d3137" + "04" + "61636d65" + "03" + "742d31"
	got, err := r.append(nil)
	if err != nil || hex.EncodeToString(got) != want {
		t.Errorf("got  %x, %v\nwant %s", got, err, want)
	}
}

func TestARecordHasOneForm(t *testing.T) {
	noon := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	good, err := Record{Principal: principal.Service("nightly", "acme"), Kind: KindSchedule, SealedAt: noon, Place: Place{1}}.append(nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parseRecord(good); err != nil {
		t.Fatal(err)
	}
	long := append(bytes.Clone(good[:2]), good[2], good[3], good[4], good[5], good[6]|0x80, 0)
	for name, bad := range map[string][]byte{
		"empty":                 nil,
		"one byte more":         append(bytes.Clone(good), 0),
		"unknown kind":          append([]byte{99}, good[1:]...),
		"unknown flag":          append([]byte{good[0], good[1] | 0x80}, good[2:]...),
		"a number in long form": append(long, good[7:]...),
	} {
		if r, err := parseRecord(bad); err == nil || r != (Record{}) {
			t.Errorf("%s: it parses as %+v", name, r)
		}
	}
	for i := range good {
		if _, err := parseRecord(good[:i]); err == nil {
			t.Errorf("%d of %d bytes parse", i, len(good))
		}
	}
}
