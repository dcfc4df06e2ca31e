package vaultstore

import (
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/signet-temporal/signet/keys"
)

var ownOptions = Options{OwnKeysUnder: []string{"tenant/"}}

const ownKeyPath = "transit/keys/signet__tenant__acme"

func (f *fakeVault) ownStore(t *testing.T) *Store {
	t.Helper()
	s, err := New(f.client(t), ownOptions)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestNoTwoKeysetsHaveTheSameTransitKeyOfTheirOwn(t *testing.T) {
	o, err := ownOptions.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	if got := o.ownKey("tenant/acme_eu"); got != "signet__tenant__acme_ueu" {
		t.Errorf("tenant/acme_eu has %q", got)
	}
	// Every name of up to six characters of those that matter.
	allowed, seen, n := regexp.MustCompile(`^\w(([\w.-]+)?\w)?$`), map[string]string{}, 0 // what Vault takes
	var all func(name string)
	all = func(name string) {
		if keys.CheckName(name) == nil {
			key := o.ownKey(name)
			if !allowed.MatchString(key) {
				t.Fatalf("%q: Vault takes no key called %q", name, key)
			}
			if other, taken := seen[key]; taken {
				t.Fatalf("%q and %q both have %q", name, other, key)
			}
			if strings.HasPrefix(name, "e/") != strings.HasPrefix(key, "signet__e__") {
				t.Fatalf("%q has %q, which a policy for what begins with \"e/\" takes wrongly", name, key)
			}
			seen[key] = name
			n++
		}
		if len(name) < 6 {
			for _, c := range "eu_/.-" {
				all(name + string(c))
			}
		}
	}
	all("")
	if n < 1000 {
		t.Errorf("%d names only", n)
	}
}

func TestAKeysetOfItsOwnIsWrappedByItsOwnTransitKeyAndNoOther(t *testing.T) {
	f := script(map[string][]reply{
		"GET " + ownKeyPath: {derivedKey}, "PUT transit/encrypt/signet__tenant__acme": {encrypted}, "PUT transit/rewrap/signet__tenant__acme": {encrypted},
		"PUT transit/decrypt/signet__tenant__acme": {decrypted},
		"PUT " + decryptPath:                       {decrypted, notAuthentic},
	})
	s, name := f.ownStore(t), []byte("tenant/acme")
	if _, err := s.EncryptWithContext(t.Context(), []byte("hello"), name); err != nil {
		t.Error(err)
	}
	if _, err := s.RewrapWithContext(t.Context(), []byte("vault:v1:x"), name); err != nil {
		t.Error(err)
	}
	for range 2 {
		if out, err := s.DecryptWithContext(t.Context(), []byte("vault:v1:x"), name); err != nil || string(out) != "hello" {
			t.Errorf("%q, %v", out, err)
		}
	}
	for _, asked := range f.asked {
		if !strings.HasSuffix(asked.path, "/signet__tenant__acme") || asked.body["context"] != nil && asked.body["context"] != "dGVuYW50L2FjbWU=" {
			t.Errorf("Vault was asked %+v", asked)
		}
	}
	if n := f.count("PUT", "transit/decrypt/signet__tenant__acme"); n != 2 {
		t.Errorf("%d calls for two keys", n)
	}
	if _, err := s.DecryptWithContext(t.Context(), []byte("vault:v1:x"), []byte("ns/a")); err != nil || f.count("PUT", decryptPath) != 2 {
		t.Errorf("a keyset elsewhere: %v", err)
	}
	f = script(map[string][]reply{"PUT transit/decrypt/signet__tenant__acme": {{status: 400, body: `{"errors":["encryption key not found"]}`}}})
	_, err := f.ownStore(t).DecryptWithContext(t.Context(), []byte("vault:v1:x"), name)
	wantProblem(t, err, 400, `Transit key "signet__tenant__acme" of keyset "tenant/acme" is gone`, "signet shred tenant/acme --carry-out", "restore Vault")
}

func TestATransitKeyOfItsOwnIsMadeReleasedAndRemoved(t *testing.T) {
	released := reply{status: 200, body: strings.Replace(derivedKey.body, `"deletion_allowed":false`, `"deletion_allowed":true`, 1)}
	transit := reply{status: 200, body: `{"data":{"path":"transit/","type":"transit","options":null}}`}
	noRoute := reply{status: 404, body: `{"errors":["no handler for route \"transit/keys/signet__tenant__acme\". route entry not found."]}`}
	elsewhere := reply{status: 404, body: `{"errors":["page not found"]}`}
	convergent := reply{status: 200, body: strings.Replace(derivedKey.body, `"derived":true`, `"derived":true,"convergent_encryption":true`, 1)}
	deleted := reply{status: 400, body: `{"errors":["could not delete key; not found"]}`}
	const mountOf, config = "GET sys/internal/ui/mounts/transit/keys/signet", "PUT " + ownKeyPath + "/config"
	prepare := func(s *Store) error { return s.PrepareKEK(t.Context(), "tenant/acme") }
	release := func(s *Store) error { _, err := s.ReleaseKEK(t.Context(), "tenant/acme"); return err }
	remove := func(s *Store) error { return s.RemoveKEK(t.Context(), "tenant/acme") }
	for name, test := range map[string]struct {
		do      func(*Store) error
		answers map[string][]reply
		writes  map[string]map[string]any // path: body
		status  int
		want    string // "": no error
	}{
		"make":                     {prepare, map[string][]reply{"GET " + ownKeyPath: {nothingThere}, mountOf: {transit}, "PUT " + ownKeyPath: {noContent}}, map[string]map[string]any{ownKeyPath: {"derived": true}}, 0, ""},
		"make what is there":       {prepare, map[string][]reply{"GET " + ownKeyPath: {derivedKey}}, nil, 0, ""},
		"make over a plain one":    {prepare, map[string][]reply{"GET " + ownKeyPath: {plainKey}}, nil, 0, "was not made by signet"},
		"make, denied":             {prepare, map[string][]reply{"GET " + ownKeyPath: {nothingThere}, mountOf: {transit}, "PUT " + ownKeyPath: {denied}}, map[string]map[string]any{ownKeyPath: {"derived": true}}, 403, `grants "update" on path "` + ownKeyPath + `"`},
		"release":                  {release, map[string][]reply{"GET " + ownKeyPath: {derivedKey}, config: {noContent}}, map[string]map[string]any{ownKeyPath + "/config": {"deletion_allowed": true}}, 0, ""},
		"release what is released": {release, map[string][]reply{"GET " + ownKeyPath: {released}}, nil, 0, ""},
		"release what is gone":     {release, map[string][]reply{"GET " + ownKeyPath: {nothingThere}, mountOf: {transit}}, nil, 0, ""},
		"release, denied":          {release, map[string][]reply{"GET " + ownKeyPath: {derivedKey}, config: {denied}}, map[string]map[string]any{ownKeyPath + "/config": {"deletion_allowed": true}}, 403, `grants "update" on path "` + ownKeyPath + `/config"`},
		"release elsewhere":        {release, map[string][]reply{"GET " + ownKeyPath: {nothingThere}, mountOf: {kv1Mount}}, nil, 0, "no Transit engine"},
		// Whatever stands in between can answer so, and then nobody may say that the key is gone.
		"release, no such route":    {release, map[string][]reply{"GET " + ownKeyPath: {noRoute}}, nil, 404, "no Transit engine"},
		"remove, no such route":     {remove, map[string][]reply{"GET " + ownKeyPath: {noRoute}}, nil, 404, "no Transit engine"},
		"release, a proxy's answer": {release, map[string][]reply{"GET " + ownKeyPath: {elsewhere}}, nil, 404, "no Transit engine"},
		"remove, a proxy's answer":  {remove, map[string][]reply{"GET " + ownKeyPath: {elsewhere}}, nil, 404, "no Transit engine"},
		"make over a convergent":    {prepare, map[string][]reply{"GET " + ownKeyPath: {convergent}}, nil, 0, "convergent encryption"},
		"remove":                    {remove, map[string][]reply{"GET " + ownKeyPath: {released}, "DELETE " + ownKeyPath: {noContent}}, map[string]map[string]any{ownKeyPath: nil}, 0, ""},
		"remove what is gone":       {remove, map[string][]reply{"GET " + ownKeyPath: {nothingThere}, mountOf: {transit}}, nil, 0, ""},
		"remove, sent twice":        {remove, map[string][]reply{"GET " + ownKeyPath: {released, nothingThere}, mountOf: {transit}, "DELETE " + ownKeyPath: {deleted}}, map[string]map[string]any{ownKeyPath: nil}, 0, ""},
		"remove, denied":            {remove, map[string][]reply{"GET " + ownKeyPath: {released}, "DELETE " + ownKeyPath: {denied}}, map[string]map[string]any{ownKeyPath: nil}, 403, `grants "delete" on path "` + ownKeyPath + `"`},
		"remove, may not look":      {remove, map[string][]reply{"GET " + ownKeyPath: {denied}}, nil, 403, `grants "read" on path "` + ownKeyPath + `"`},
	} {
		t.Run(name, func(t *testing.T) {
			f := script(test.answers)
			err := test.do(f.ownStore(t))
			if test.want == "" && err != nil {
				t.Error(err)
			}
			if test.want != "" {
				wantProblem(t, err, test.status, test.want)
			}
			writes := map[string]map[string]any{}
			for _, asked := range f.asked {
				if asked.method != "GET" {
					writes[asked.path] = asked.body
				}
			}
			if len(writes) != len(test.writes) || len(writes) > 0 && !reflect.DeepEqual(writes, test.writes) {
				t.Errorf("Vault was sent %v, want %v", writes, test.writes)
			}
		})
	}
	for _, do := range []func() error{
		func() error { return script(nil).store(t).PrepareKEK(t.Context(), "tenant/acme") },
		func() error { return script(nil).ownStore(t).RemoveKEK(t.Context(), "ns/a") },
	} {
		wantProblem(t, do(), 0, "has no Transit key of its own", "--own-keys-under")
	}
}

func TestADocumentThatAnotherTransitKeyWrapsThanConfiguredIsRefused(t *testing.T) {
	doc := func(extra string) reply {
		return reply{status: 200, body: strings.NewReplacer(`"name":"ns/a"`, `"name":"tenant/a"`, `"keys":[]`, `"keys":[]`+extra).Replace(liveDoc)}
	}
	const path = "GET secret/data/signet/keysets/tenant/a"
	shared, own := script(map[string][]reply{path: {doc("")}}), script(map[string][]reply{path: {doc(`,"ownKEK":true`)}})
	gone := script(map[string][]reply{path: {doc(`,"ownKEK":true,"shredded":"2026-11-22T10:00:00Z"`)}})
	for _, f := range []*fakeVault{shared, gone} {
		if _, _, err := f.store(t).Fetch(t.Context(), "tenant/a"); err != nil {
			t.Errorf("a good document: %v", err)
		}
	}
	for _, f := range []*fakeVault{own, gone} {
		if _, _, err := f.ownStore(t).Fetch(t.Context(), "tenant/a"); err != nil {
			t.Errorf("a good document: %v", err)
		}
	}
	_, _, err := shared.ownStore(t).Fetch(t.Context(), "tenant/a")
	wantProblem(t, err, 0, `"tenant/a" is wrapped by the shared Transit key`, "leave what its name begins with out of ownKeysUnder")
	_, _, err = own.store(t).Fetch(t.Context(), "tenant/a")
	wantProblem(t, err, 0, `"tenant/a" is wrapped by a Transit key of its own`, "name what its name begins with in ownKeysUnder (--own-keys-under)")
	k := &keys.Keyset{Format: 1, Name: "tenant/a", Type: keys.XAES256GCM, Policy: keys.Policy{PropagationDelay: keys.Duration(time.Minute)}}
	f := script(nil)
	_, err = f.ownStore(t).Replace(t.Context(), k, "")
	wantProblem(t, err, 0, "is wrapped by the shared Transit key")
	if f.requests() > 0 {
		t.Errorf("Vault was asked %+v", f.asked)
	}
	for _, bad := range []string{"", "tenant", "/", "a//", "../", "tenant/*"} {
		if _, err := New(f.client(t), Options{OwnKeysUnder: []string{bad}}); err == nil || !strings.Contains(err.Error(), "ownKeysUnder") {
			t.Errorf("ownKeysUnder %q: %v", bad, err)
		}
	}
}

func TestPoliciesKnowTheTransitKeysOfKeysetsOwn(t *testing.T) {
	paths := func(role Role, names ...string) string {
		policy, err := ownOptions.Policy(role, names...)
		if err != nil {
			t.Fatal(err)
		}
		var all []string
		for _, m := range regexp.MustCompile(`(?s)path "([^"]+)" \{\n  capabilities = \[(.*?)\]`).FindAllStringSubmatch(policy, -1) {
			all = append(all, m[1]+" "+strings.ReplaceAll(strings.ReplaceAll(m[2], `"`, ""), ", ", "+"))
		}
		return strings.Join(all, "\n")
	}
	const kv, tr = "secret/data/signet/keysets/", "transit/"
	for _, test := range []struct {
		role  Role
		names string
		want  []string
	}{
		{RoleWorker, "", []string{kv + "* read", tr + "decrypt/signet update", tr + "decrypt/signet__tenant__* update"}},
		{RoleServer, "tenant/acme", []string{kv + "tenant/acme read", tr + "decrypt/signet__tenant__acme update"}},
		{RoleServer, "ns/a tenant/acme", []string{kv + "ns/a read", kv + "tenant/acme read", tr + "decrypt/signet update", tr + "decrypt/signet__tenant__acme update"}},
		{RoleCustodian, "tenant/acme", []string{kv + "tenant/acme create+read+update", tr + "encrypt/signet__tenant__acme update", tr + "rewrap/signet__tenant__acme update", tr + "keys/signet__tenant__acme read+update"}},
		{RoleDestroyer, "tenant/acme", []string{kv + "tenant/acme read+update", "secret/destroy/signet/keysets/tenant/acme update"}},
		{RoleShredder, "", []string{kv + "tenant/* read+update", "secret/destroy/signet/keysets/tenant/* update", tr + "keys/signet__tenant__* read+update+delete"}},
		{RoleShredder, "tenant/acme", []string{kv + "tenant/acme read+update", "secret/destroy/signet/keysets/tenant/acme update", tr + "keys/signet__tenant__acme read+delete", tr + "keys/signet__tenant__acme/config update"}},
		{RoleShredder, "ns/a", []string{kv + "ns/a read+update", "secret/destroy/signet/keysets/ns/a update"}},
		{RoleAuditor, "", []string{kv + "* read", "secret/metadata/signet/keysets/* list+read", tr + "keys/signet read", tr + "keys/signet__tenant__* read"}},
	} {
		if got, want := paths(test.role, strings.Fields(test.names)...), strings.Join(test.want, "\n"); got != want {
			t.Errorf("%s %s:\n%s\nwant\n%s", test.role, test.names, got, want)
		}
	}
}
