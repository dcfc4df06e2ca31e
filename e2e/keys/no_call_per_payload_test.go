package keys_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	commonpb "go.temporal.io/api/common/v1"

	"github.com/signet-temporal/signet/converter"
	"github.com/signet-temporal/signet/e2e/stack"
	"github.com/signet-temporal/signet/keys"
)

// TestNoCallToVaultWhilePayloadsAreSealedOrOpened counts twice: in Vault's own audit log, and in a proxy in front of it.
// Both see the calls that load the keys, and not one more.
func TestNoCallToVaultWhilePayloadsAreSealedOrOpened(t *testing.T) {
	const payloads = 10_000
	s := stack.Start(t, stack.Options{Namespaces: []string{"payments"}, WithoutOIDC: true, WithoutTemporal: true})
	auditFile := filepath.Join(s.Dir, "vault-audit.log")
	s.VaultWrite(t, "sys/audit/file", map[string]any{"type": "file", "options": map[string]string{"file_path": auditFile}})
	requests := func() int {
		data, err := os.ReadFile(auditFile)
		if err != nil {
			t.Fatal(err)
		}
		return bytes.Count(data, []byte(`"type":"request"`))
	}
	proxy := s.Proxy(t)
	first, firstAudit := len(proxy.Requests()), requests()
	ring := s.RingAt(t, proxy.Address, keys.RingOptions{RefreshInterval: time.Hour})
	loaded, loadedAudit := len(proxy.Requests()), requests()
	if loaded == first || loadedAudit == firstAudit {
		t.Fatalf("loading the keys made %d requests, audited %d: nothing is being counted", loaded-first, loadedAudit-firstAudit)
	}
	codec, err := converter.NewCodec(ring, converter.CodecOptions{Keyset: "ns/payments", Scope: "payments"})
	if err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	for n := range payloads {
		want := fmt.Sprintf(`"payload %d"`, n)
		sealed, err := codec.Encode([]*commonpb.Payload{{Metadata: map[string][]byte{"encoding": []byte("json/plain")}, Data: []byte(want)}})
		if err != nil {
			t.Fatal(err)
		}
		opened, err := codec.Decode(sealed)
		if err != nil {
			t.Fatal(err)
		}
		if got := string(opened[0].GetData()); got != want {
			t.Fatalf("payload %d came back as %s", n, got)
		}
	}
	took := time.Since(begun)
	made, audited := len(proxy.Requests())-loaded, requests()-loadedAudit
	t.Logf("loading the keys: %d requests (%d audited by Vault); %d payloads sealed and opened in %s: %d requests (%d audited)",
		loaded-first, loadedAudit-firstAudit, payloads, took.Round(time.Millisecond), made, audited)
	if made != 0 || audited != 0 {
		t.Errorf("%d requests went to Vault: %v", made, proxy.Requests()[loaded:])
	}
}
