package keystest

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/signet-temporal/signet/keys"
)

// TestKEK is the conformance suite of [keys.KEK]: what every key-encryption key does, wherever it lives. newKEK is
// called once for each subtest.
func TestKEK(t *testing.T, newKEK func(t *testing.T) keys.KEK) {
	for _, test := range []struct {
		name string
		run  func(t *testing.T, kek keys.KEK)
	}{
		{"what it wraps it opens", testRoundTrip},
		{"another keyset's name does not open", testWrongName},
		{"no name is refused", testNoName},
		{"garbage does not open", testGarbage},
		{"a key of each type survives wrapping", testRealKeys},
		{"a cancelled context is honoured", testCancelledKEK},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, newKEK(t)) })
	}
}

var (
	secret = bytes.Repeat([]byte("a key of a keyset "), 8)
	owner  = []byte("ns/payments")
)

func wrap(t *testing.T, kek keys.KEK) []byte {
	t.Helper()
	wrapped, err := kek.EncryptWithContext(t.Context(), secret, owner)
	if err != nil {
		t.Fatalf("EncryptWithContext: %v", err)
	}
	return wrapped
}

func wantRefused(t *testing.T, what string, out []byte, err error) {
	t.Helper()
	if err == nil {
		t.Errorf("%s: no error, want one", what)
	}
	if out != nil {
		t.Errorf("%s: %d bytes came beside the error", what, len(out))
	}
}

func testRoundTrip(t *testing.T, kek keys.KEK) {
	wrapped := wrap(t, kek)
	if bytes.Contains(wrapped, secret[:16]) {
		t.Error("the wrapped key shows the key")
	}
	got, err := kek.DecryptWithContext(t.Context(), wrapped, owner)
	if err != nil || !bytes.Equal(got, secret) {
		t.Errorf("DecryptWithContext = %d bytes, %v, want the %d bytes that were wrapped", len(got), err, len(secret))
	}
	if bytes.Equal(wrapped, wrap(t, kek)) {
		t.Error("wrapping twice gave the same bytes")
	}
}

func testWrongName(t *testing.T, kek keys.KEK) {
	wrapped := wrap(t, kek)
	for _, name := range []string{"ns/other", "ns/payments2", "ns/payment", "ns/Payments", "ns", "ns/payments\x00"} {
		out, err := kek.DecryptWithContext(t.Context(), wrapped, []byte(name))
		wantRefused(t, "opening as "+name, out, err)
	}
}

func testNoName(t *testing.T, kek keys.KEK) {
	wrapped := wrap(t, kek)
	for _, name := range [][]byte{nil, {}} {
		out, err := kek.EncryptWithContext(t.Context(), secret, name)
		wantRefused(t, "wrapping without a name", out, err)
		out, err = kek.DecryptWithContext(t.Context(), wrapped, name)
		wantRefused(t, "opening without a name", out, err)
	}
}

func testGarbage(t *testing.T, kek keys.KEK) {
	wrapped := wrap(t, kek)
	flipped := slices.Clone(wrapped)
	flipped[len(flipped)/2] ^= 1
	for what, in := range map[string][]byte{
		"nil":             nil,
		"empty":           {},
		"one byte":        {1},
		"text":            []byte("vault:v1:not a ciphertext"),
		"the plain key":   secret,
		"a changed byte":  flipped,
		"a missing byte":  wrapped[:len(wrapped)-1],
		"half of it":      wrapped[:len(wrapped)/2],
		"twice the bytes": slices.Concat(wrapped, wrapped),
	} {
		out, err := kek.DecryptWithContext(t.Context(), in, owner)
		wantRefused(t, "opening "+what, out, err)
	}
}

func testRealKeys(t *testing.T, kek keys.KEK) {
	for _, typ := range []keys.Type{keys.XAES256GCM, keys.AES256GCM} {
		id, wrapped, err := keys.Generate(t.Context(), kek, string(owner), typ)
		if err != nil {
			t.Fatalf("%s: %v", typ, err)
		}
		aead, err := keys.Unwrap(t.Context(), kek, string(owner), id, wrapped)
		if err != nil {
			t.Fatalf("%s: %v", typ, err)
		}
		sealed, err := aead.Encrypt(secret, owner)
		if err != nil {
			t.Fatalf("%s: sealing: %v", typ, err)
		}
		if got, err := aead.Decrypt(sealed, owner); err != nil || !bytes.Equal(got, secret) {
			t.Errorf("%s: opening = %q, %v", typ, got, err)
		}
		if _, err := keys.Unwrap(t.Context(), kek, "ns/other", id, wrapped); err == nil {
			t.Errorf("%s: a key copied into another keyset opens there", typ)
		}
	}
	id, wrapped, err := keys.Generate(t.Context(), kek, string(owner), keys.HMACSHA256PRF)
	if err != nil {
		t.Fatalf("%s: %v", keys.HMACSHA256PRF, err)
	}
	if f, err := keys.UnwrapPRF(t.Context(), kek, string(owner), id, wrapped); err != nil || f == nil {
		t.Errorf("%s: %v", keys.HMACSHA256PRF, err)
	}
	if f, err := keys.UnwrapPRF(t.Context(), kek, "ns/other", id, wrapped); err == nil || f != nil {
		t.Errorf("%s: a key copied into another keyset opens there", keys.HMACSHA256PRF)
	}
}

func testCancelledKEK(t *testing.T, kek keys.KEK) {
	wrapped := wrap(t, kek)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	out, err := kek.EncryptWithContext(ctx, secret, owner)
	wantRefused(t, "wrapping", out, err)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("wrapping: %v does not match the context's error", err)
	}
	out, err = kek.DecryptWithContext(ctx, wrapped, owner)
	wantRefused(t, "opening", out, err)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("opening: %v does not match the context's error", err)
	}
}
