package migrate_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
)

// Ward does, for every signal "note", a bit of everything that leaves a payload in its history, and can be asked what it has
// seen. "again" makes it go on as new, "remember" sets its memo, "end" ends it.
func Ward(ctx workflow.Context, name string) (seen []string, err error) {
	seen = []string{name}
	if err := workflow.SetQueryHandler(ctx, "seen", func(from string) ([]string, error) { return append(seen, from), nil }); err != nil {
		return nil, err
	}
	amend := func(_ workflow.Context, text string) (string, error) {
		seen = append(seen, "amended "+text)
		return text, nil
	}
	if err := workflow.SetUpdateHandler(ctx, "amend", amend); err != nil {
		return nil, err
	}
	for {
		var note string
		workflow.GetSignalChannel(ctx, "note").Receive(ctx, &note)
		switch note {
		case "end":
			return seen, nil
		case "again":
			return nil, workflow.NewContinueAsNewError(ctx, Ward, name+" again")
		case "remember":
			if err := workflow.UpsertMemo(ctx, map[string]any{"of": name}); err != nil {
				return nil, err
			}
			continue
		}
		line, err := write(ctx, note)
		if err != nil {
			return nil, err
		}
		seen = append(seen, line)
	}
}

func write(ctx workflow.Context, note string) (string, error) {
	version := workflow.GetVersion(ctx, "since "+note, workflow.DefaultVersion, 1)
	var side, mutable, repeated, details string
	if err := workflow.SideEffect(ctx, func(workflow.Context) any { return "side " + note }).Get(&side); err != nil {
		return "", err
	}
	same := func(a, b any) bool { return a == b }
	if err := workflow.MutableSideEffect(ctx, "m", func(workflow.Context) any { return "mutable " + note }, same).Get(&mutable); err != nil {
		return "", err
	}
	if err := workflow.Sleep(ctx, 10*time.Millisecond); err != nil {
		return "", err
	}
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: 20 * time.Second, Summary: "writes " + note, RetryPolicy: &temporal.RetryPolicy{MaximumAttempts: 2, InitialInterval: 50 * time.Millisecond},
	})
	if err := workflow.ExecuteActivity(ctx, Repeat, note).Get(ctx, &repeated); err != nil {
		return "", err
	}
	var declined *temporal.ApplicationError
	if err := workflow.ExecuteActivity(ctx, Decline, note).Get(ctx, nil); !errors.As(err, &declined) {
		return "", fmt.Errorf("declined with %w", err)
	}
	if err := declined.Details(&details); err != nil {
		return "", err
	}
	return fmt.Sprint(version, ", ", side, ", ", mutable, ", ", repeated, ", ", declined.Message(), ", ", details), nil
}

// line is what [Ward] has seen after a note.
func line(note string) string {
	return fmt.Sprintf("1, side %[1]s, mutable %[1]s, %[1]s, declined %[1]s, because of %[1]s", note)
}

// Repeat returns its argument.
func Repeat(_ context.Context, in string) (string, error) { return in, nil }

// Decline fails with a message and details.
func Decline(_ context.Context, in string) error {
	return temporal.NewNonRetryableApplicationError("declined "+in, "Declined", nil, "because of "+in)
}

// Nightly is what schedules start.
func Nightly(_ workflow.Context, in string) (string, error) { return in, nil }

// TestThePageShowsThisCode compares the code that docs/migration.md gives people to copy with the code that is tried here.
func TestThePageShowsThisCode(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "migration.md"))
	if err != nil {
		t.Fatal(err)
	}
	code, err := os.ReadFile("schedules_test.go")
	if err != nil {
		t.Fatal(err)
	}
	_, after, found := strings.Cut(string(code), "\nfunc resealing(")
	body, _, ended := strings.Cut(after, "\n}\n")
	want := strings.ReplaceAll("func resealing("+body+"\n}", "\n", "\n  ") // it stands in a list
	if !found || !ended || !strings.Contains(string(page), want) {
		t.Errorf("docs/migration.md does not show\n%s", want)
	}
}

// tinkFixture returns the keyset of a fixture of package converter/legacy, and what it is encrypted under.
func tinkFixture(t *testing.T, name string) (keyset, kek *strings.Reader) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "converter", "legacy", "testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	var f struct{ Keyset, KEK string }
	if err := json.Unmarshal(text, &f); err != nil {
		t.Fatal(err)
	}
	return strings.NewReader(f.Keyset), strings.NewReader(f.KEK)
}
