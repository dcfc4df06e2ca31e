package codecserver_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"time"

	"go.temporal.io/sdk/converter"
	"google.golang.org/protobuf/encoding/protojson"

	commonpb "go.temporal.io/api/common/v1"

	"github.com/signet-temporal/signet/codecserver"
	"github.com/signet-temporal/signet/codecserver/audit"
	"github.com/signet-temporal/signet/codecserver/machine"
	"github.com/signet-temporal/signet/codecserver/policy"
	seal "github.com/signet-temporal/signet/converter"
	"github.com/signet-temporal/signet/keys"
	"github.com/signet-temporal/signet/keys/filestore"
	"github.com/signet-temporal/signet/keys/rotate"
)

// A codec server within a program of one's own. Package signet-server does this from a configuration, with people's logins.
func Example() {
	ring, stop := ringOf("ns/payments") // keys.NewRing over the store in Vault
	defer stop()
	codec, err := seal.NewCodec(ring, seal.CodecOptions{Keyset: "ns/payments", Scope: "payments"})
	if err != nil {
		panic(err)
	}
	rules, err := policy.Parse([]byte(`
grants:
  - {name: reports, issuer: "signet:token", subjects: [report], namespaces: [payments], actions: [decode]}
`))
	if err != nil {
		panic(err)
	}
	token, hash := machine.NewToken() // people: verify.New of principal/verify
	programs, err := machine.NewTokens([]machine.Token{{Name: "report", SHA256: hash, Expires: time.Now().Add(time.Hour)}})
	if err != nil {
		panic(err)
	}
	var records bytes.Buffer // audit.OpenFile keeps them
	handler, err := codecserver.New(codecserver.Config{
		Namespaces:    []codecserver.Namespace{{Name: "payments", Codec: codec}},
		Authenticator: programs,
		Policy:        rules,
		Audit:         audit.New(&records),
	})
	if err != nil {
		panic(err)
	}

	sealed, err := codec.Encode([]*commonpb.Payload{must(converter.GetDefaultDataConverter().ToPayload("4111 1111 1111 1111"))})
	if err != nil {
		panic(err)
	}
	body := must(protojson.Marshal(&commonpb.Payloads{Payloads: sealed}))
	for _, bearer := range []string{token, "signet_guessed"} {
		r := httptest.NewRequestWithContext(context.Background(), http.MethodPost, "/decode", bytes.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Authorization", "Bearer "+bearer)
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		var opened commonpb.Payloads
		_ = protojson.Unmarshal(w.Body.Bytes(), &opened)
		for _, p := range opened.GetPayloads() {
			fmt.Println(string(p.GetData()))
		}
		fmt.Println(w.Code)
	}
	fmt.Println(bytes.Count(records.Bytes(), []byte(`"decision":"allow"`)), "allowed, on record")
	// Output:
	// "4111 1111 1111 1111"
	// 200
	// 401
	// 1 allowed, on record
}

// ringOf is a ring over a key store of its own: signet keyset create NAME --keys-file DIR.
func ringOf(name string) (*keys.Ring, func()) {
	dir := must(os.MkdirTemp("", ""))
	store := must(filestore.Create(dir + "/keys"))
	must(rotate.Create(context.Background(), store, store, name, rotate.Options{}))
	ring := must(keys.NewRing(context.Background(), store, store, keys.RingOptions{Keysets: []string{name}}))
	return ring, func() { _, _ = ring.Close(), os.RemoveAll(dir) }
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
