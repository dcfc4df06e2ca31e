package signet_test

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/signet-temporal/signet"
	"github.com/signet-temporal/signet/converter"
	"github.com/signet-temporal/signet/keys"
	"github.com/signet-temporal/signet/keys/keystest"
	"github.com/signet-temporal/signet/keys/rotate"
	"github.com/signet-temporal/signet/keys/vaultstore"
)

// The functions below are the code of docs/search.md: TestTheSearchPageShowsThisCode compares them.

var patientSSN = temporal.NewSearchAttributeKeyKeyword("PatientSSN")

func connect(ctx context.Context, store *vaultstore.Store) (client.Client, *converter.SearchTokens, error) {
	ring, err := keys.NewRing(ctx, store, store, keys.RingOptions{Keysets: []string{"ns/intake", "search/intake"}})
	if err != nil {
		return nil, nil, err
	}
	tokens, err := converter.NewSearchTokens(ring, converter.SearchTokenOptions{Keyset: "search/intake", Scope: "intake"})
	if err != nil {
		return nil, nil, err
	}
	plugin, err := signet.NewPlugin(ring, signet.Options{})
	if err != nil {
		return nil, nil, err
	}
	c, err := client.Dial(client.Options{Namespace: "intake", Plugins: []client.Plugin{plugin}})
	return c, tokens, err
}

func admit(ctx context.Context, c client.Client, tokens *converter.SearchTokens, ssn string) error {
	token, err := tokens.SearchToken("PatientSSN", strings.ReplaceAll(ssn, "-", ""))
	if err != nil {
		return err
	}
	_, err = c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		TaskQueue:             "intake",
		TypedSearchAttributes: temporal.NewSearchAttributes(patientSSN.ValueSet(token)),
	}, "Admission", ssn)
	return err
}

func freshToken(ctx workflow.Context, tokens *converter.SearchTokens, ssn string) error {
	token, err := tokens.SearchToken("PatientSSN", strings.ReplaceAll(ssn, "-", ""))
	if err != nil {
		return err
	}
	return workflow.UpsertTypedSearchAttributes(ctx, patientSSN.ValueSet(token))
}

// A workflow is found by a value that stands nowhere in clear: docs/search.md.
func Example_search() {
	ctx := context.Background()
	store, err := openVault(ctx)
	if err != nil {
		return
	}
	c, tokens, err := connect(ctx, store)
	if err != nil {
		return
	}
	defer c.Close()
	w := worker.New(c, "intake", worker.Options{})
	w.RegisterWorkflowWithOptions(func(ctx workflow.Context, ssn string) error {
		return freshToken(ctx, tokens, ssn) // each run, so that one that continues as new has the newest
	}, workflow.RegisterOptions{Name: "Admission"})
	if err := w.Start(); err != nil {
		return
	}
	defer w.Stop()
	_ = admit(ctx, c, tokens, "078-05-1120")
}

func TestTheSearchPageShowsThisCode(t *testing.T) {
	source, err := os.ReadFile("example_search_test.go")
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("docs/search.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"connect", "admit", "freshToken"} {
		if code, ok := function(string(source), name); !ok || !strings.Contains(string(page), code) {
			t.Errorf("docs/search.md does not show func %s as it stands here", name)
		}
	}
}

// A ring is what search tokens are made with: those who write use the primary key, those who search all of them.
func TestARingMakesSearchTokensThroughARotation(t *testing.T) {
	store, kek := new(keystest.Store), keystest.NewKEK(t)
	if _, err := rotate.Create(t.Context(), store, kek, "search/intake", rotate.Options{Type: keys.HMACSHA256PRF}); err != nil {
		t.Fatal(err)
	}
	ring, err := keys.NewRing(t.Context(), store, kek, keys.RingOptions{Keysets: []string{"search/intake"}})
	if err != nil {
		t.Fatal(err)
	}
	defer ring.Close()
	tokens, err := converter.NewSearchTokens(ring, converter.SearchTokenOptions{Keyset: "search/intake", Scope: "intake"})
	if err != nil {
		t.Fatal(err)
	}
	before, err := tokens.SearchToken("PatientSSN", "078051120")
	if err != nil {
		t.Fatal(err)
	}

	now := time.Now()
	for _, plan := range []rotate.Plan{
		func(k *keys.Keyset) (*keys.Keyset, error) {
			return rotate.PlanBegin(k, rotate.Generated(t.Context(), kek), now)
		},
		func(k *keys.Keyset) (*keys.Keyset, error) {
			return rotate.PlanPromote(k, rotate.PromoteOptions{}, now.Add(time.Hour))
		},
	} {
		if _, err := rotate.Change(t.Context(), store, "search/intake", plan); err != nil {
			t.Fatal(err)
		}
	}
	if err := ring.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	after, err := tokens.SearchToken("PatientSSN", "078051120")
	if err != nil || after == before {
		t.Fatalf("after the rotation the token is %q, %v, as before", after, err)
	}
	all, err := tokens.Candidates("PatientSSN", "078051120")
	if err != nil || len(all) != 2 || all[0] != after || all[1] != before {
		t.Errorf("a search asks for %q, %v, want %q", all, err, []string{after, before})
	}
}
