package vaultstore

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/signet-temporal/signet/keys"
)

func TestFetchReadsTheDocumentAndItsVersion(t *testing.T) {
	f := script(map[string][]reply{"GET " + docPath: {live}})
	k, version, err := f.store(t).Fetch(t.Context(), "ns/a")
	if err != nil || k.Name != "ns/a" || version != liveID {
		t.Fatalf("Fetch = %+v, %q, %v", k, version, err)
	}
}

func TestOnlyAKV2EngineSaysThatThereIsNoKeyset(t *testing.T) {
	for _, test := range []struct {
		name       string
		doc, mount reply
		status     int
		want       string // "" for ErrNotFound
	}{
		{"never there", nothingThere, kv2Mount, 0, ""},
		{"deleted", deletedDoc, noSuchMount, 0, ""},
		{"KV v1", nothingThere, kv1Mount, 0, `"secret" is KV version 1`},
		{"no engine", noSuchMount, preflightNo, 404, `Vault has no KV v2 engine at "secret": check the KV mount (kvMount, --kv-mount)`},
		{"no engine or no permission", denied, preflightNo, 403, `no engine at "secret", or the token may use nothing in it`},
		{"no permission", denied, kv2Mount, 403, `must grant "read" on path "secret/data/signet/keysets/ns/a"`},
		{"token refused", tokenRefused, tokenRefused, 403, "log in again"},
		{"sealed", sealed, sealed, 503, "is sealed"},
		{"sealed in between", nothingThere, sealed, 503, "is sealed"},
		{"throttled", throttled, throttled, 429, "throttles"},
		{"unreachable", reply{err: errUnreachable}, reply{err: errUnreachable}, 0, "cannot be reached"},
		{"standby without an active node", reply{status: 307}, reply{status: 307}, 0, "standby that redirects to no active node"},
		{"a proxy's page", reply{status: 200, body: "<html>"}, kv2Mount, 0, "calling Vault at \"secret/data/signet/keysets/ns/a\": the answer is not JSON"}, // no Vault sends it
		{"an empty answer", reply{status: 200, body: "{}"}, kv2Mount, 0, "without a version"},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := script(map[string][]reply{"GET " + docPath: {test.doc}, "GET " + mountPath: {test.mount}})
			k, version, err := f.store(t).Fetch(t.Context(), "ns/a")
			if k != nil || version != "" {
				t.Errorf("Fetch returned %v and %q beside an error", k, version)
			}
			if got, want := errors.Is(err, keys.ErrNotFound), test.want == ""; got != want {
				t.Fatalf("Fetch = %v, is ErrNotFound: %t, want %t", err, got, want)
			}
			if test.want != "" {
				wantProblem(t, err, test.status, test.want)
			}
		})
	}
}

func TestReplaceIsCompareAndSwap(t *testing.T) {
	doc := &keys.Keyset{Format: 1, Name: "ns/a", Type: keys.XAES256GCM}
	lost := reply{err: errLostAnswer}
	for _, test := range []struct {
		name        string
		stored, put reply
		old         keys.Version
		wantCAS     any // nil: nothing is written
		want        error
	}{
		{"create", nothingThere, written, "", 0.0, nil},
		{"create where one is", live, written, "", nil, keys.ErrConflict},
		{"create after a deletion", deletedDoc, written, "", 3.0, nil},
		{"change", live, written, liveID, 3.0, nil},
		{"change of another version", live, written, versionID(2, "2026-11-22T10:07:06.06366112Z"), nil, keys.ErrConflict},
		{"change of an earlier keyset that had the same number", live, written, versionID(3, "2025-01-01T00:00:00Z"), nil, keys.ErrConflict},
		{"change of a deleted keyset", deletedDoc, written, versionID(3, "2026-11-22T10:07:06.06366112Z"), nil, keys.ErrConflict},
		{"change of none", nothingThere, written, liveID, nil, keys.ErrConflict},
		{"lost race", live, casMismatch, liveID, 3.0, keys.ErrConflict},
		{"lost answer", live, lost, liveID, 3.0, errLostAnswer},
		{"Vault seals", live, sealed, liveID, 3.0, nil},
		{"answer without a version", live, noContent, liveID, 3.0, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := script(map[string][]reply{
				"GET " + docPath: {test.stored}, "GET " + mountPath: {kv2Mount},
				"PUT " + docPath: {test.put, casMismatch}, // a second try would meet the first one's version
			})
			version, err := f.store(t).Replace(t.Context(), doc, test.old)
			if test.want == nil && test.put == written {
				if want := versionID(4, "2026-11-22T10:07:06.152851559Z"); err != nil || version != want {
					t.Errorf("Replace = %q, %v, want %q", version, err, want)
				}
			} else if err == nil || version != "" || test.want != nil && !errors.Is(err, test.want) {
				t.Errorf("Replace = %q, %v, want an error like %v", version, err, test.want)
			}
			if test.want != keys.ErrConflict && errors.Is(err, keys.ErrConflict) {
				t.Errorf("Replace = %v, which says that nothing was written", err)
			}
			puts := f.count("PUT", docPath)
			if want := 0; test.wantCAS == nil && puts != want || test.wantCAS != nil && puts != 1 {
				t.Fatalf("%d writes", puts)
			}
			for _, r := range f.asked {
				if r.method == "PUT" {
					if cas := r.body["options"].(map[string]any)["cas"]; cas != test.wantCAS {
						t.Errorf("cas = %v, want %v", cas, test.wantCAS)
					}
				}
			}
		})
	}
}

func TestNothingIsWrittenToAKV1Engine(t *testing.T) {
	f := script(map[string][]reply{"GET " + docPath: {nothingThere}, "GET " + mountPath: {kv1Mount}, "PUT " + docPath: {noContent}})
	_, err := f.store(t).Replace(t.Context(), &keys.Keyset{Format: 1, Name: "ns/a", Type: keys.XAES256GCM}, "")
	wantProblem(t, err, 0, `"secret" is KV version 1`)
	if n := f.count("PUT", docPath); n != 0 {
		t.Errorf("%d writes, want none", n)
	}
}

func TestListLeavesOutWhatIsNoLiveKeyset(t *testing.T) {
	base := "GET secret/metadata/signet/keysets"
	f := script(map[string][]reply{
		base:                                 {{status: 200, body: `{"data":{"keys":["b","a/","gone",".hidden","no name!/"]}}`}},
		base + "/a":                          {{status: 200, body: `{"data":{"keys":["z","deep/"]}}`}},
		base + "/a/deep":                     {{status: 200, body: `{"data":{"keys":["x"]}}`}},
		"GET secret/data/signet/keysets/b":   {live},
		"GET secret/data/signet/keysets/a/z": {live},
		"GET secret/data/signet/keysets/a/deep/x": {live},
		"GET secret/data/signet/keysets/gone":     {deletedDoc},
	})
	got, err := f.store(t).List(t.Context())
	if want := "[a/deep/x a/z b]"; err != nil || fmt.Sprint(got) != want {
		t.Errorf("List = %v, %v, want %s", got, err, want)
	}
}

// Whoever may write one document must not hold up all: what is no keyset is listed, and reading it says why.
func TestWhatIsNoKeysetIsListedAndHoldsUpNobody(t *testing.T) {
	base := "GET secret/metadata/signet/keysets"
	foreign := reply{status: 200, body: `{"data":{"data":{"hello":"world"},"metadata":{"created_time":"2026-11-22T10:07:06.06366112Z","version":1}}}`}
	f := script(map[string][]reply{
		base:                               {{status: 200, body: `{"data":{"keys":["b","notes"]}}`}},
		"GET secret/data/signet/keysets/b": {live}, "GET secret/data/signet/keysets/notes": {foreign},
	})
	store := f.store(t)
	got, err := store.List(t.Context())
	if want := "[b notes]"; err != nil || fmt.Sprint(got) != want {
		t.Errorf("List = %v, %v, want %s", got, err, want)
	}
	_, _, err = store.Fetch(t.Context(), "notes")
	wantProblem(t, err, 0, `no field "keyset"`)
}

func TestAListThatMeetsATroubleIsNoShorterListButAnError(t *testing.T) {
	base := "GET secret/metadata/signet/keysets"
	for name, trouble := range map[string]reply{"sealed": sealed, "denied": denied} {
		f := script(map[string][]reply{
			base:                                 {{status: 200, body: `{"data":{"keys":["b","a/"]}}`}},
			base + "/a":                          {{status: 200, body: `{"data":{"keys":["z"]}}`}},
			"GET secret/data/signet/keysets/b":   {live},
			"GET secret/data/signet/keysets/a/z": {trouble},
			"GET " + mountPath:                   {kv2Mount},
		})
		got, err := f.store(t).List(t.Context())
		if got != nil {
			t.Errorf("%s: List returned %v beside an error", name, got)
		}
		wantProblem(t, err, trouble.status, "listing keysets")
	}
}

func TestACallEndsAtTheClientsTimeoutOrAtTheContexts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeVault{answer: func(request) reply { return reply{} }}
		s := f.store(t)
		begin := time.Now()
		_, _, err := s.Fetch(context.Background(), "ns/a")
		wantProblem(t, err, 0, "did not answer in time")
		if took := time.Since(begin); took != defaultTimeout {
			t.Errorf("a call with no end of its own took %v, want %v", took, defaultTimeout)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begin = time.Now()
		for name, call := range map[string]func() error{
			"Fetch":   func() error { _, _, err := s.Fetch(ctx, "ns/a"); return err },
			"List":    func() error { _, err := s.List(ctx); return err },
			"Encrypt": func() error { _, err := s.EncryptWithContext(ctx, []byte("k"), []byte("ns/a")); return err },
			"Decrypt": func() error { _, err := s.DecryptWithContext(ctx, []byte("vault:v1:x"), []byte("ns/a")); return err },
		} {
			if err := call(); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s = %v, want the context's end", name, err)
			}
		}
		if took := time.Since(begin); took != time.Second {
			t.Errorf("calls in a context of one second took %v", took)
		}
	})
}

func TestPathsThatCouldLeadElsewhereAreRefused(t *testing.T) {
	client := script(nil).client(t)
	for _, bad := range []string{"/x", "x/", "a//b", "..", "a/../b", "a/./b", "a b", "a?b", "a#b", "a%2fb", ".hidden", "a\n"} {
		for field, opts := range map[string]Options{
			"kvMount": {KVMount: bad}, "prefix": {Prefix: bad}, "transitMount": {TransitMount: bad}, "transitKey": {TransitKey: bad},
		} {
			s, err := New(client, opts)
			if s != nil {
				t.Errorf("%s %q was accepted", field, bad)
			}
			if err != nil {
				wantProblem(t, err, 0, field)
			}
			if _, err := opts.WorkerPolicy(); err == nil {
				t.Errorf("WorkerPolicy with %s %q was accepted", field, bad)
			}
		}
	}
	if _, err := New(client, Options{TransitKey: "a/b"}); err == nil {
		t.Error("a Transit key with a slash was accepted")
	}
	if _, err := New(nil, Options{}); err == nil {
		t.Error("no client was accepted")
	}
}
