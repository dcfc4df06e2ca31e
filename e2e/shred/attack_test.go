package shred_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/signet-temporal/signet/e2e/stack"
	"github.com/signet-temporal/signet/keys"
	"github.com/signet-temporal/signet/keys/rotate"
)

// forge has a custodian write, with Vault's own API, that a keyset was shredded and never had a Transit key of its own.
func forge(t *testing.T, s *stack.Stack, tenant string) {
	t.Helper()
	k, _, err := s.Store(t, "", s.Vault.Token).Fetch(t.Context(), under+tenant)
	if err != nil {
		t.Fatal(err)
	}
	k.ShredAfter = time.Now().Add(-time.Hour)
	if k, err = rotate.PlanShred(k, rotate.ShredEvidence{AllowOpenWorkflows: true}, time.Now()); err != nil {
		t.Fatal(err)
	}
	k.OwnKEK = false
	text, err := json.Marshal(k)
	if err != nil {
		t.Fatal(err)
	}
	var doc map[string]any
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	c := vaultAs(t, s, s.Roles.CustodianToken)
	if _, err := c.Logical().WriteWithContext(t.Context(), "secret/data/signet/keysets/"+under+tenant, map[string]any{"data": map[string]any{"keyset": doc}}); err != nil {
		t.Fatal(err)
	}
}

// TestWhoForgesAShreddingGetsNoReceiptAndSavesNothing: the claim of a document is completed, and not believed.
func TestWhoForgesAShreddingGetsNoReceiptAndSavesNothing(t *testing.T) {
	s := startVault(t, "acme", "bravo")
	forge(t, s, "acme")
	if out := must(t, s, s.Roles.CustodianToken, "shred", under+"acme", "--schedule", "--allow-open-workflows"); !strings.Contains(out, "Nobody has looked whether all of it is gone") || strings.Contains(out, "removed  ") {
		t.Errorf("scheduling says %s", out)
	}
	r := read(t, must(t, s, token(t, s, "shredder", under+"acme"), "shred", under+"acme", "--carry-out", "--output=json")).Keysets[0]
	if !slices.ContainsFunc(r.Steps, func(step struct{ Does string }) bool {
		return strings.Contains(step.Does, "Transit key "+ownTransit+"acme is deleted")
	}) {
		t.Errorf("the steps are %+v", r.Steps)
	}
	// What it does not know it does not promise: by the document the shared key wrapped the keys.
	if r.Own || r.TransitKey != "signet" || !slices.ContainsFunc(r.Remains, func(left remains) bool { return left.Opens && strings.Contains(left.Where, "backups of KV alone") }) {
		t.Errorf("the receipt is %+v", r)
	}
	gone(t, s, "acme")
	whole(t, s, "bravo")
}

// TestNoRoleSetsOfATransitKeyWhatItIsNotFor: by other spellings of the parameters, in the query, and beside what is allowed.
func TestNoRoleSetsOfATransitKeyWhatItIsNotFor(t *testing.T) {
	s := startVault(t, "acme", "Acme", "acme_eu")
	own := "transit/keys/" + ownTransit + "acme"
	for _, role := range []string{"custodian", "shredder", "worker", "server", "auditor", "destroyer"} {
		held := token(t, s, role)
		for _, try := range []struct{ method, path, body string }{
			{"POST", own + "/config", `{}`},
			{"POST", own + "/config", `{"exportable":true}`},
			{"POST", own + "/config", `{"Exportable":true}`},
			{"POST", own + "/config", `{"derived":true,"exportable":true,"allow_plaintext_backup":true}`},
			{"POST", own + "/config", `{"deletion_allowed":true,"exportable":true,"allow_plaintext_backup":true}`},
			{"POST", own + "/config?exportable=true&allow_plaintext_backup=true&deletion_allowed=true", `{}`},
			{"PATCH", own + "/config", `{"exportable":true}`},
			{"POST", own + "/trim", `{"min_available_version":1}`},
			{"POST", own + "/import_version", `{"ciphertext":"YQ=="}`},
			{"POST", own + "-" + role + "?exportable=true&derived=true&allow_plaintext_backup=true", `{}`},
			{"POST", own + "-" + role + "/import", `{"derived":true,"exportable":true,"ciphertext":"YQ=="}`},
			{"DELETE", own, ``},
			{"POST", "transit/restore/" + ownTransit + "acme", `{"backup":"YQ=="}`},
		} {
			ask(t, s, held, try.method, try.path, try.body)
		}
		for _, name := range []string{"acme", "acme-" + role} {
			key := s.VaultRead(t, "transit/keys/"+ownTransit+name)
			if key == nil && name == "acme" {
				t.Fatalf("the %s has deleted the Transit key", role)
			}
			if key != nil && (key.Data["exportable"] != false || key.Data["allow_plaintext_backup"] != false || key.Data["deletion_allowed"] != false) {
				t.Errorf("the %s has left the Transit key of %s as %v", role, name, key.Data)
			}
		}
	}
	// A name that was taken before its tenant came holds the tenant up, and wraps nothing.
	ask(t, s, token(t, s, "custodian"), "POST", "transit/keys/"+ownTransit+"squatted", `{}`)
	refused(t, s, s.Roles.CustodianToken, 1, "was not made by signet: it is not derived: see who made it, and remove it", "keyset", "create", under+"squatted")
	// Names that look alike are two.
	doom(t, s, under+"Acme")
	must(t, s, token(t, s, "shredder", under+"Acme"), "shred", under+"Acme", "--carry-out", "--allow-open-workflows")
	gone(t, s, "Acme")
	whole(t, s, "acme")
	whole(t, s, "acme_eu")
}

// ask sends what no client library would, and says nothing of the answer.
func ask(t *testing.T, s *stack.Stack, token, method, path, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, s.Vault.Address+"/v1/"+path, bytes.NewReader([]byte(body)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Vault-Token", token)
	if method == "PATCH" {
		req.Header.Set("Content-Type", "application/merge-patch+json")
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, res.Body)
	res.Body.Close()
}

// TestTwoWhoShredAtOnceBothSucceed, and nobody else is touched.
func TestTwoWhoShredAtOnceBothSucceed(t *testing.T) {
	s := startVault(t, "acme", "acme2")
	doom(t, s, under+"acme")
	held := token(t, s, "shredder", under+"acme")
	outs := make(chan stack.Run, 3)
	for range cap(outs) {
		go func() { outs <- s.SignetAs(t, held, "shred", under+"acme", "--carry-out", "--allow-open-workflows") }()
	}
	for range cap(outs) {
		if got := <-outs; got.Code != 0 || !strings.Contains(got.Stdout, "removed  Transit key "+ownTransit+"acme, with all its versions") {
			t.Errorf("exit code %d: %s%s", got.Code, got.Stdout, got.Stderr)
		}
	}
	gone(t, s, "acme")
	whole(t, s, "acme2")
	if k, _, err := s.Store(t, "", s.Vault.Token).Fetch(t.Context(), under+"acme"); err != nil || k.Check() != nil || k.Key(k.Keys[0].ID).State != keys.Destroyed {
		t.Errorf("%+v, %v", k, err)
	}
}
