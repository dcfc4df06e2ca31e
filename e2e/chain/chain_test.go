// Package chain_test follows one user from the request to a service that an activity calls: a real login at an OpenID
// provider, an API behind an edge, a workflow, its child and an activity in a worker of its own process, and a service
// that believes the worker by the identity token that a real Vault has given it.
package chain_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/hashicorp/vault/api"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"google.golang.org/protobuf/proto"

	"github.com/signet-temporal/signet"
	"github.com/signet-temporal/signet/e2e/stack"
	"github.com/signet-temporal/signet/principal"
	"github.com/signet-temporal/signet/principal/propagate"
	"github.com/signet-temporal/signet/principal/s2s/downstream"
	"github.com/signet-temporal/signet/principal/verify"
)

const (
	namespace       = "orders"
	queue           = "orders"
	apiAudience     = "another-service"
	billingAudience = "billing"
	workload        = "order-worker"
)

type vaultClient = api.Client

var keysets = []string{"ns/" + namespace, "principal/" + namespace}

func TestAUserIsKnownAtTheEndOfTheChainAndTheTokenNowhere(t *testing.T) {
	s := stack.Start(t, stack.Options{Namespaces: []string{namespace}, Keysets: keysets[1:]})
	config, entity := prepareVault(t, s)
	billing := startBilling(t, s, entity)
	config.Temporal, config.Vault = s.Temporal.Address, s.Vault.Address
	config.BillingHost, config.BillingCert = strings.TrimPrefix(billing.URL, "https://"), billing.Certificate().Raw
	worker := startWorker(t, config)
	orders := startAPI(t, s)

	token := s.Login(t, s.OIDC, "alice", stack.OpsClient, apiAudience).Access
	item := "a copy of Candide, planted"
	receipt := order(t, orders, token, item)

	want := principal.Principal{Kind: principal.KindUser, Issuer: s.OIDC.Issuer, Subject: "u-alice", Tenant: "acme"}
	calls := billing.called()
	if len(calls) != 1 || !calls[0].who.Same(want) || calls[0].who.Txn == "" || calls[0].by.Subject != entity || calls[0].item != item {
		t.Fatalf("billing was called %#v, want once for %#v by %s", calls, want, entity)
	}
	if receipt != "paid by u-alice of acme" {
		t.Errorf("the result is %q", receipt)
	}

	heap := worker.dump(t)
	if !bytes.Contains(heap, []byte(config.BillingHost)) {
		t.Error("the heap dump does not hold what the worker must hold: it proves nothing")
	}
	worker.end()
	searchForToken(t, token, map[string][]byte{
		"the worker's memory": heap,
		"the worker's log":    worker.log.Bytes(),
		"a history":           histories(t, s),
		"Temporal's database": database(t, s),
	})
}

// searchForToken looks for any half of the token's claims or signature, so that a piece that was cut off is found as well.
func searchForToken(t *testing.T, token string, places map[string][]byte) {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatal("the token is not a signed JWT")
	}
	for place, content := range places {
		if len(content) == 0 && place != "the worker's log" {
			t.Errorf("%s is empty: it proves nothing", place)
		}
		for _, part := range parts[1:] {
			for _, half := range []string{part[:len(part)/2], part[len(part)/2:]} {
				if bytes.Contains(content, []byte(half)) {
					t.Errorf("%s holds the token, or a part of it", place)
				}
			}
		}
	}
}

// prepareVault gives the worker a login that has an entity, and lets it get tokens for billing.
func prepareVault(t *testing.T, s *stack.Stack) (c workerConfig, entity string) {
	t.Helper()
	s.VaultWrite(t, "identity/oidc/key/services", map[string]any{"allowed_client_ids": billingAudience})
	s.VaultWrite(t, "identity/oidc/role/"+billingAudience, map[string]any{"key": "services", "client_id": billingAudience, "ttl": "10m"})
	s.VaultWrite(t, "sys/policies/acl/billing-token", map[string]any{"policy": `path "identity/oidc/token/billing" { capabilities = ["read"] }`})
	s.VaultWrite(t, "auth/approle/role/"+workload, map[string]any{"token_policies": "signet-worker,billing-token"})
	id := s.VaultRead(t, "auth/approle/role/"+workload+"/role-id").Data["role_id"].(string)
	secret := s.VaultWrite(t, "auth/approle/role/"+workload+"/secret-id", nil).Data["secret_id"].(string)
	entity = s.VaultWrite(t, "identity/entity", map[string]any{"name": workload}).Data["id"].(string)
	s.VaultWrite(t, "identity/entity-alias", map[string]any{
		"name": id, "canonical_id": entity, "mount_accessor": s.VaultRead(t, "sys/auth/approle").Data["accessor"],
	})
	return workerConfig{RoleID: id, SecretID: secret}, entity
}

// billing is a service that is called on behalf of users.
type billing struct {
	*httptest.Server
	mu    sync.Mutex
	calls []call
}

type call struct {
	by   principal.Caller
	who  principal.Principal
	item string
}

func startBilling(t *testing.T, s *stack.Stack, forwarder string) *billing {
	t.Helper()
	issuer := s.Vault.Address + "/v1/identity/oidc"
	v, err := verify.New(t.Context(), verify.Issuer{Issuer: issuer, Audiences: []string{billingAudience}})
	if err != nil {
		t.Fatal(err)
	}
	gate, err := downstream.New(downstream.Options{Verifier: v, Forwarders: []downstream.Forwarder{{Issuer: issuer, Subject: forwarder, Tenants: []string{"acme"}}}})
	if err != nil {
		t.Fatal(err)
	}
	b := &billing{}
	b.Server = httptest.NewTLSServer(gate.Handler(http.HandlerFunc(b.charge)))
	t.Cleanup(b.Close)
	return b
}

func (b *billing) charge(w http.ResponseWriter, r *http.Request) {
	by, _ := downstream.CallerFromContext(r.Context()) // the test looks at it
	who, err := principal.FromContext(r.Context())
	item, readErr := io.ReadAll(r.Body)
	if err != nil || readErr != nil {
		http.Error(w, fmt.Sprint(err, readErr), http.StatusInternalServerError)
		return
	}
	b.mu.Lock()
	b.calls = append(b.calls, call{by, who, string(item)})
	b.mu.Unlock()
	_, _ = fmt.Fprintf(w, "paid by %s of %s", who.Subject, who.Tenant) // the worker is gone
}

func (b *billing) called() []call {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.calls
}

// startAPI starts what users call: it starts workflows for whoever is logged in.
func startAPI(t *testing.T, s *stack.Stack) *httptest.Server {
	t.Helper()
	v, err := verify.New(t.Context(), verify.Issuer{Issuer: s.OIDC.Issuer, Audiences: []string{apiAudience}})
	if err != nil {
		t.Fatal(err)
	}
	edge, err := verify.NewEdge(v, verify.EdgeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	temporal := s.Client(t, namespace, signet.Options{Principal: &propagate.Options{}})
	server := httptest.NewServer(edge.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		item, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		run, err := temporal.ExecuteWorkflow(r.Context(), client.StartWorkflowOptions{ID: "order-1", TaskQueue: queue}, "Order", string(item))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		var receipt string
		if err := run.Get(r.Context(), &receipt); err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		_ = json.NewEncoder(w).Encode(receipt) // the test is gone
	})))
	t.Cleanup(server.Close)
	return server
}

func order(t *testing.T, api *httptest.Server, token, item string) (receipt string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, api.URL, strings.NewReader(item))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	resp, err := api.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v", resp.Status, body, err)
	}
	if err := json.Unmarshal(body, &receipt); err != nil {
		t.Fatal(err)
	}
	return receipt
}

// histories are those of the workflow and of its child, as Temporal gives them out.
func histories(t *testing.T, s *stack.Stack) (all []byte) {
	t.Helper()
	c := s.ClientWith(t, namespace)
	ids := []string{"order-1"}
	for len(ids) > 0 {
		events := c.GetWorkflowHistory(t.Context(), ids[0], "", false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
		ids = ids[1:]
		for events.HasNext() {
			event, err := events.Next()
			if err != nil {
				t.Fatal(err)
			}
			if child := event.GetChildWorkflowExecutionStartedEventAttributes(); child != nil {
				ids = append(ids, child.GetWorkflowExecution().GetWorkflowId())
			}
			text, err := proto.Marshal(event)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, text...)
		}
	}
	return all
}

func database(t *testing.T, s *stack.Stack) (all []byte) {
	t.Helper()
	for _, file := range s.Temporal.Files() {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, content...)
	}
	if !bytes.Contains(all, []byte("order-1")) {
		t.Error("the workflow is not in these files: they prove nothing")
	}
	return all
}
