package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"

	"github.com/signet-temporal/signet/keys"
	"github.com/signet-temporal/signet/keys/census"
)

// namespaceFlags name the namespaces that a census is taken of before or after a key is changed. They have no variable:
// whoever asks too few of them loses data.
type namespaceFlags struct {
	temporalPlace
	walkFlags
	Namespaces []string `name:"namespace" short:"n" group:"temporal" sep:"none" placeholder:"NAME" help:"Namespace whose workflows use the keyset: a census is taken of it. Repeat it for each."`
}

// askFlags say whom to ask whether a key is still needed.
type askFlags struct {
	namespaceFlags
	Censuses []string      `name:"census" sep:"none" placeholder:"FILE" help:"What \"signet census --output json\" printed for such a namespace, in place of taking a census now. Repeat it for each."`
	MaxAge   time.Duration `name:"census-max-age" default:"24h" env:"SIGNET_CENSUS_MAX_AGE" help:"How long ago such a census may have begun."`
}

func (f askFlags) given() bool { return len(f.Namespaces)+len(f.Censuses) > 0 }

// asking is a question to be answered by censuses.
type asking struct {
	keyset      string
	key         keys.ID
	legacy      bool // it opens what another codec sealed
	has         map[keys.ID]bool
	sealedUntil time.Time
	saved       []savedCensus
	walk        []string // namespaces
}

// savedCensus is one that was read from a file.
type savedCensus struct {
	*census.Result
	from string
}

// prepare reads the files and refuses what can be refused before anybody is asked.
func (f askFlags) prepare(now time.Time) (asking, error) {
	q := asking{walk: f.Namespaces}
	switch {
	case f.check() != nil:
		return q, f.check()
	case f.MaxAge <= 0:
		return q, codedf(exitUsage, "--census-max-age must be more than 0: leave it away for its default")
	case slices.Contains(f.Namespaces, ""):
		return q, codedf(exitUsage, "--namespace is empty: name a namespace in Temporal")
	}
	for _, path := range f.Censuses {
		r, err := loadCensus(path)
		if err != nil {
			return q, err
		}
		switch age := now.Sub(r.Began); {
		case age > f.MaxAge:
			return q, codedf(exitRefused, "%s: the census of namespace %s began %s, which is more than --census-max-age, %s: take another", path, printable(r.Namespace), ago(r.Began, now), trimDuration(f.MaxAge.String()))
		case age < 0:
			return q, codedf(exitRefused, "%s: the census of namespace %s began in the future, at %s: see to the clocks, and take another", path, printable(r.Namespace), clock(r.Began, now))
		}
		q.saved = append(q.saved, savedCensus{r, path})
	}
	seen := map[string]bool{}
	for _, namespace := range q.namespaces() {
		if seen[namespace] {
			return q, codedf(exitUsage, "namespace %s is named twice, by --namespace or --census: leave one out", printable(namespace))
		}
		seen[namespace] = true
	}
	return q, nil
}

// loadCensus reads what `signet census --output json` printed.
func loadCensus(path string) (*census.Result, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, codedf(exitUsage, "--census: %s", err)
	}
	var c counted
	decoder := json.NewDecoder(strings.NewReader(string(text)))
	decoder.DisallowUnknownFields() // such as those of a census that is not complete
	if err := decoder.Decode(&c); err != nil || decoder.More() {
		return nil, codedf(exitUsage, "--census: %s is not what \"signet census --output json\" of this version prints: take a census with it", path)
	}
	r, err := c.result()
	if err != nil {
		return nil, codedf(exitUsage, "--census: %s: %s: take another census", path, err)
	}
	return r, nil
}

func (q asking) namespaces() []string {
	all := slices.Clone(q.walk)
	for _, r := range q.saved {
		all = append(all, r.Namespace)
	}
	return all
}

// since is when the first of the censuses began, where those still to be taken begin now.
func (q asking) since(now time.Time) time.Time {
	for _, r := range q.saved {
		if r.Began.Before(now) {
			now = r.Began
		}
	}
	return now
}

// uses are those that would be asked.
func (q asking) uses(f temporalPlace) ([]use, error) {
	var all []use
	for _, namespace := range q.walk {
		options, err := f.options(namespace)
		if err != nil {
			return nil, err
		}
		all = append(all, use{Namespace: namespace, From: options.HostPort})
	}
	for _, r := range q.saved {
		all = append(all, use{Namespace: r.Namespace, From: r.from, Began: &r.Began})
	}
	return all, nil
}

// ask takes the censuses that are still to be taken, and says what they and the saved ones found. began is when the
// first of them did.
func (q asking) ask(a *app, f namespaceFlags) (all asked, began time.Time, err error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	began = q.since(a.now())
	for _, namespace := range q.walk {
		r, err := f.walkOf(ctx, a, namespace, 0)
		if err != nil {
			return asked{}, time.Time{}, err
		}
		if r.Began.Before(began) {
			began = r.Began
		}
		all.Census, all.NotAsked = append(all.Census, q.use(r.Result, r.address)), r.beside
	}
	for _, r := range q.saved {
		all.Census = append(all.Census, q.use(r.Result, r.from))
	}
	all.NotAsked = slices.DeleteFunc(all.NotAsked, func(namespace string) bool { return slices.Contains(q.namespaces(), namespace) })
	all.NoneMet = !slices.ContainsFunc(all.Census, func(u use) bool { return len(u.carries) > 0 })
	return all, began, nil
}

// walked is a census that was taken now.
type walked struct {
	*census.Result
	address string
	beside  []string // all namespaces of that Temporal, if it says so
}

// walkOf takes the census of a namespace. patience is that of [census.Options].
func (f namespaceFlags) walkOf(ctx context.Context, a *app, namespace string, patience time.Duration) (w walked, err error) {
	options, err := f.options(namespace)
	if err != nil {
		return w, err
	}
	temporal, err := dial(ctx, options)
	if err != nil {
		return w, err
	}
	defer temporal.Close()
	bar := newCounting(namespace, 0, expected(ctx, temporal, namespace))
	defer a.progress(bar.text)()
	r, err := census.Run(ctx, temporal.WorkflowService(), census.Options{
		Namespace: namespace, Rate: f.Rate, Parallel: f.Parallel, Patience: patience,
		Save: func(r *census.Result) error {
			var next census.Stage
			if r.Next != nil {
				next = r.Next.Stage
			}
			bar.update(r.Open+r.Closed, next)
			return nil
		},
	})
	if err != nil && ctx.Err() != nil {
		err = errors.New("interrupted")
	}
	if err != nil {
		return w, fmt.Errorf("the census of namespace %s at %s is not complete: %w", namespace, options.HostPort, err)
	}
	return walked{r, options.HostPort, namespacesOf(ctx, temporal)}, nil
}

// namespacesOf returns the first thousand namespaces of a Temporal that has not its own reasons to tell nobody.
func namespacesOf(ctx context.Context, temporal client.Client) (names []string) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	all, err := temporal.WorkflowService().ListNamespaces(ctx, &workflowservice.ListNamespacesRequest{PageSize: 1000})
	if err != nil {
		return nil
	}
	for _, n := range all.GetNamespaces() {
		if name := n.GetNamespaceInfo().GetName(); name != "temporal-system" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// use is what the census of a namespace found of the key.
func (q asking) use(r *census.Result, from string) use {
	id := q.keyset + "/" + q.key.String()
	u := use{Namespace: r.Namespace, From: from, Began: &r.Began, Workflows: r.Open + r.Closed}
	for other := range r.Keys {
		var id keys.ID
		if rest, ok := strings.CutPrefix(other, q.keyset+"/"); ok && id.UnmarshalText([]byte(rest)) == nil {
			u.carries = append(u.carries, id)
		}
	}
	if k := r.Keys[id]; k != nil {
		until, held := r.Until(id)
		u.Payloads, u.OpenWorkflows, u.ClosedWorkflows, u.Schedules, u.Alone = k.Total(), k.Open, k.Closed, k.Schedules, k.Alone
		u.WorkflowIDs, u.ScheduleIDs, u.HeldBy, u.NeededUntil = some(k.WorkflowIDs), some(k.ScheduleIDs), held, given(until)
	}
	err := census.Unused(census.Question{Key: id, SealedUntil: q.sealedUntil, Namespaces: []string{r.Namespace}}, r)
	if err == nil && q.legacy && r.Unsealed > 0 {
		err = fmt.Errorf("%w: it opens what another codec sealed, and namespace %s has %d payloads that Signet did not seal: wait until they are gone, or go on without a census if none of them is of that codec", census.ErrUnproven, r.Namespace, r.Unsealed)
	}
	if u.against = err; err != nil && !errors.Is(err, census.ErrInUse) {
		u.Unproven = err.Error()
	}
	return u
}
