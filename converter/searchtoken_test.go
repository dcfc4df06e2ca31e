package converter

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"math"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/prf"
	tinkpb "github.com/tink-crypto/tink-go/v2/proto/tink_go_proto"
	"google.golang.org/protobuf/proto"

	commonpb "github.com/tink-crypto/tink-go/v2/proto/common_go_proto"
	hmacprfpb "github.com/tink-crypto/tink-go/v2/proto/hmac_prf_go_proto"
)

func newHandle(t testing.TB, template *tinkpb.KeyTemplate) *keyset.Handle {
	t.Helper()
	handle, err := keyset.NewHandle(template)
	if err != nil {
		t.Fatal(err)
	}
	return handle
}

func newSearch(t testing.TB, keys SearchKeys, options SearchTokenOptions) *SearchTokens {
	t.Helper()
	s, err := NewSearchTokens(keys, options)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func newSearchKeyring(t testing.TB, keysets map[string]*keyset.Handle) *SearchKeyring {
	t.Helper()
	ring, err := NewSearchKeyring(keysets)
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

func mustToken(t testing.TB, s *SearchTokens, attribute, value string) string {
	t.Helper()
	token, err := s.SearchToken(attribute, value)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// rawKey reads the bytes of an HMAC PRF key out of a keyset.
func rawKey(t testing.TB, handle *keyset.Handle) []byte {
	t.Helper()
	var key hmacprfpb.HmacPrfKey
	if err := proto.Unmarshal(insecurecleartextkeyset.KeysetMaterial(handle).GetKey()[0].GetKeyData().GetValue(), &key); err != nil {
		t.Fatal(err)
	}
	return key.GetKeyValue()
}

// TestASearchTokenIsWhatTheSpecSays computes one with the standard library alone.
func TestASearchTokenIsWhatTheSpecSays(t *testing.T) {
	handle := newHandle(t, prf.HMACSHA256PRFKeyTemplate())
	s := newSearch(t, newSearchKeyring(t, map[string]*keyset.Handle{"search/payments": handle}), SearchTokenOptions{Keyset: "search/payments", Scope: "payments"})
	mac := hmac.New(sha256.New, rawKey(t, handle))
	mac.Write([]byte("signet/search-token/v1\x00\x00\x00\x00\x08payments\x00\x00\x00\x03SSN078-05-1120"))
	want := strings.ToLower(base32.StdEncoding.EncodeToString(mac.Sum(nil))[:16])
	if got := mustToken(t, s, "SSN", "078-05-1120"); got != want {
		t.Errorf("token is %s, want %s", got, want)
	}
}

// TestTheVectorsOfTheSpec are read from it.
func TestTheVectorsOfTheSpec(t *testing.T) {
	spec, err := os.ReadFile("../docs/spec/search-token-v1.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := regexp.MustCompile("(?m)^\\| `(.+?)` \\| `(.+?)` \\| `(.+?)` \\| (\\d+) \\| `(.+?)` \\|$").FindAllStringSubmatch(string(spec), -1)
	if len(rows) != 5 {
		t.Fatalf("%d vectors found", len(rows))
	}
	ring := newSearchKeyring(t, map[string]*keyset.Handle{"k": fixedHandle(t, bytes.Repeat([]byte{0x11}, 32))})
	for _, row := range rows {
		bits, err := strconv.Atoi(row[4])
		if err != nil {
			t.Fatal(err)
		}
		s := newSearch(t, ring, SearchTokenOptions{Keyset: "k", Scope: row[1], Bits: bits})
		if got := mustToken(t, s, row[2], row[3]); got != row[5] {
			t.Errorf("%v: token is %s", row[1:], got)
		}
	}
}

// fixedHandle is a keyset with one HMAC-SHA-256 PRF key.
func fixedHandle(t testing.TB, raw []byte) *keyset.Handle {
	t.Helper()
	key, err := proto.Marshal(&hmacprfpb.HmacPrfKey{KeyValue: raw, Params: &hmacprfpb.HmacPrfParams{Hash: commonpb.HashType_SHA256}})
	if err != nil {
		t.Fatal(err)
	}
	serialized, err := proto.Marshal(&tinkpb.Keyset{PrimaryKeyId: 1, Key: []*tinkpb.Keyset_Key{{
		KeyId: 1, Status: tinkpb.KeyStatusType_ENABLED, OutputPrefixType: tinkpb.OutputPrefixType_RAW,
		KeyData: &tinkpb.KeyData{TypeUrl: "type.googleapis.com/google.crypto.tink.HmacPrfKey", Value: key, KeyMaterialType: tinkpb.KeyData_SYMMETRIC},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	handle, err := insecurecleartextkeyset.Read(keyset.NewBinaryReader(bytes.NewReader(serialized)))
	if err != nil {
		t.Fatal(err)
	}
	return handle
}

// TestTokensOfDifferentThingsAreUnrelated: attribute, scope and keyset are part of what a token is made of, and none of them
// can be shifted into the next.
func TestTokensOfDifferentThingsAreUnrelated(t *testing.T) {
	ring := newSearchKeyring(t, map[string]*keyset.Handle{
		"a": newHandle(t, prf.HMACSHA256PRFKeyTemplate()), "b": newHandle(t, prf.HMACSHA256PRFKeyTemplate()),
	})
	seen := map[string]string{}
	for _, keyset := range []string{"a", "b"} {
		for _, scope := range []string{"pay", "payments", "paymentsS"} {
			s := newSearch(t, ring, SearchTokenOptions{Keyset: keyset, Scope: scope})
			for _, attribute := range []string{"S", "SS", "SSN", "Email"} {
				for _, value := range []string{"N", "SN", "NN", "078-05-1120"} {
					what := fmt.Sprint(keyset, "|", scope, "|", attribute, "|", value)
					token := mustToken(t, s, attribute, value)
					if other, twice := seen[token]; twice {
						t.Errorf("%s and %s have the token %s", what, other, token)
					}
					seen[token] = what
					if again := mustToken(t, s, attribute, value); again != token {
						t.Errorf("%s has the tokens %s and %s", what, token, again)
					}
				}
			}
		}
	}
}

func TestATokenHasTheLengthThatWasAskedFor(t *testing.T) {
	form := regexp.MustCompile(`^[a-z2-7]+$`)
	for name, template := range map[string]*tinkpb.KeyTemplate{
		"hmac-sha256": prf.HMACSHA256PRFKeyTemplate(), "hmac-sha512": prf.HMACSHA512PRFKeyTemplate(),
		"hkdf": prf.HKDFSHA256PRFKeyTemplate(), "cmac": prf.AESCMACPRFKeyTemplate(),
	} {
		ring := newSearchKeyring(t, map[string]*keyset.Handle{"k": newHandle(t, template)})
		longest := mustToken(t, newSearch(t, ring, SearchTokenOptions{Keyset: "k", Scope: "s", Bits: 125}), "A", "v")
		for bits := 20; bits <= 125; bits += 5 {
			got := mustToken(t, newSearch(t, ring, SearchTokenOptions{Keyset: "k", Scope: "s", Bits: bits}), "A", "v")
			if len(got) != bits/5 || !form.MatchString(got) || !strings.HasPrefix(longest, got) {
				t.Errorf("%s: %d bits are %q, of %q", name, bits, got, longest)
			}
		}
		if got := mustToken(t, newSearch(t, ring, SearchTokenOptions{Keyset: "k", Scope: "s"}), "A", "v"); len(got) != 16 {
			t.Errorf("%s: without a length it is %q", name, got)
		}
	}
}

// TestWrongValuesAreAsRareAsTheSpecSays counts pairs of values with one token: n²/2 pairs, each with probability 2^-bits.
func TestWrongValuesAreAsRareAsTheSpecSays(t *testing.T) {
	ring := newSearchKeyring(t, map[string]*keyset.Handle{"k": newHandle(t, prf.HMACSHA256PRFKeyTemplate())})
	s := newSearch(t, ring, SearchTokenOptions{Keyset: "k", Scope: "s", Bits: 20})
	const n = 20_000
	counts := map[string]int{}
	pairs := 0
	for i := range n {
		token := mustToken(t, s, "SSN", fmt.Sprint(i))
		pairs += counts[token]
		counts[token]++
	}
	want := float64(n) * (n - 1) / 2 / (1 << 20)
	if off := math.Abs(float64(pairs)-want) / math.Sqrt(want); off > 6 {
		t.Errorf("%d pairs of values share a token of 20 bits, expected %.0f", pairs, want)
	}
}

// TestASearchFindsTokensOfOlderKeys, and of none that is disabled.
func TestASearchFindsTokensOfOlderKeys(t *testing.T) {
	manager := keyset.NewManager()
	var ids []uint32
	var stored []string
	var s *SearchTokens
	for range 3 {
		id, err := manager.Add(prf.HMACSHA256PRFKeyTemplate())
		if err == nil {
			err = manager.SetPrimary(id)
		}
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
		handle, err := manager.Handle()
		if err != nil {
			t.Fatal(err)
		}
		s = newSearch(t, newSearchKeyring(t, map[string]*keyset.Handle{"k": handle}), SearchTokenOptions{Keyset: "k", Scope: "s"})
		stored = append(stored, mustToken(t, s, "SSN", "078-05-1120"))
	}
	found, err := s.Candidates("SSN", "078-05-1120")
	if err != nil || len(found) != 3 || found[0] != stored[2] {
		t.Fatalf("stored are %v, found %v, %v", stored, found, err)
	}
	for _, token := range stored {
		if !strings.Contains(strings.Join(found, " "), token) {
			t.Errorf("token %s is not searched for: %v", token, found)
		}
	}
	if err := manager.Disable(ids[0]); err != nil {
		t.Fatal(err)
	}
	handle, err := manager.Handle()
	if err != nil {
		t.Fatal(err)
	}
	s = newSearch(t, newSearchKeyring(t, map[string]*keyset.Handle{"k": handle}), SearchTokenOptions{Keyset: "k", Scope: "s"})
	if found, err := s.Candidates("SSN", "078-05-1120"); err != nil || len(found) != 2 {
		t.Errorf("with a disabled key: %v, %v", found, err)
	}
}

func TestNoTokenIsMadeOfNothing(t *testing.T) {
	ring := newSearchKeyring(t, map[string]*keyset.Handle{"k": newHandle(t, prf.HMACSHA256PRFKeyTemplate())})
	s := newSearch(t, ring, SearchTokenOptions{Keyset: "k", Scope: "s"})
	for _, pair := range [][2]string{{"", "v"}, {"A", ""}} {
		token, err := s.SearchToken(pair[0], pair[1])
		all, errAll := s.Candidates(pair[0], pair[1])
		if token != "" || all != nil || !errors.Is(err, ErrMalformed) || !errors.Is(errAll, ErrMalformed) {
			t.Errorf("%q: %q, %v, %v, %v", pair, token, err, all, errAll)
		}
	}
	away := newSearch(t, ring, SearchTokenOptions{Keyset: "other", Scope: "s"})
	if token, err := away.SearchToken("SSN", "078-05-1120"); token != "" || !errors.Is(err, ErrKeyUnavailable) || strings.Contains(err.Error(), "078") {
		t.Errorf("%q, %v", token, err)
	}
	empty := newSearch(t, noPrimary{}, SearchTokenOptions{Keyset: "k", Scope: "s"})
	if token, err := empty.SearchToken("SSN", "v"); token != "" || !errors.Is(err, ErrKeyUnavailable) {
		t.Errorf("%q, %v", token, err)
	}
}

type noPrimary struct{}

func (noPrimary) PRFs(string) (*prf.Set, error) { return &prf.Set{}, nil }

func TestSearchKeysThatCannotWorkAreRefused(t *testing.T) {
	ring := newSearchKeyring(t, nil)
	for name, options := range map[string]SearchTokenOptions{
		"no keyset": {Scope: "s"}, "no scope": {Keyset: "k"}, "too short": {Keyset: "k", Scope: "s", Bits: 15},
		"too long": {Keyset: "k", Scope: "s", Bits: 130}, "crooked": {Keyset: "k", Scope: "s", Bits: 64}, "negative": {Keyset: "k", Scope: "s", Bits: -5},
	} {
		if s, err := NewSearchTokens(ring, options); err == nil || s != nil {
			t.Errorf("%s is accepted", name)
		}
	}
	if s, err := NewSearchTokens(nil, SearchTokenOptions{Keyset: "k", Scope: "s"}); err == nil || s != nil {
		t.Error("no keys are accepted")
	}
	for name, keysets := range map[string]map[string]*keyset.Handle{
		"a nil handle": {"k": nil}, "a bad name": {"/": newHandle(t, prf.HMACSHA256PRFKeyTemplate())}, "keys that seal": {"k": newHandle(t, aead.AES256GCMKeyTemplate())},
	} {
		if r, err := NewSearchKeyring(keysets); err == nil || r != nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
