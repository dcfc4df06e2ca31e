package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/alecthomas/kong"
	"go.temporal.io/api/workflowservice/v1"

	"github.com/signet-temporal/signet/converter"
	"github.com/signet-temporal/signet/internal/keyconfig"
	"github.com/signet-temporal/signet/keys"
	"github.com/signet-temporal/signet/keys/legacykeys"
)

type schedulesCmd struct {
	storeFlags
	temporalFlags

	Reseal resealCmd `cmd:"" help:"Seal what schedules hold anew, under the primary key."`
}

type resealCmd struct {
	IDs    []string `arg:"" optional:"" name:"id" help:"Schedules; all of the namespace if none is named."`
	Keyset string   `env:"SIGNET_KEYSET" placeholder:"NAME" help:"Keyset that seals in the namespace; ns/<namespace> if none is named."`
	Scope  string   `env:"SIGNET_SCOPE" placeholder:"NAME" help:"Scope of its payloads, if it is not the namespace."`
	Plan   bool     `help:"Say what would be done, and change nothing."`

	LegacyKeys bool `help:"Seal what another codec sealed as well, opened with the keys that \"keyset import\" put into the keyset for it."`
}

// Help is the long help of the command.
func (resealCmd) Help() string {
	return `A schedule starts workflows for years with arguments that were sealed once, so it holds on to the key of that day. The
command opens arguments, memo and summary of the workflow that a schedule starts, and seals them again for the same
workflow under the primary key. Everything else stays as it is: when it runs, its policies and state, headers. A schedule
that is current already is not touched, and one that somebody changes meanwhile is read again: run it as often as you like.

What stands in headers, or in a memo of the schedule itself, cannot be moved by Temporal's API. It is counted as left:
create such a schedule anew.

It opens payloads, so it needs a worker's access to Vault; a custodian's is not enough.

` + jsonHelp[resealed]()
}

// resealed is the JSON output of `schedules reseal`.
type resealed struct {
	Namespace string           `json:"namespace" help:"namespace of the schedules"`
	Keyset    string           `json:"keyset" help:"keyset that seals there"`
	Key       keys.ID          `json:"key" help:"id of its primary key"`
	Plan      bool             `json:"plan" help:"whether nothing was changed"`
	Schedules []resealSchedule `json:"schedules" help:"every schedule that was looked at"`
}

type resealSchedule struct {
	ID       string   `json:"id" help:"id of the schedule"`
	State    string   `json:"state" help:"current: there was nothing to do; resealed; to reseal, with --plan; failed"`
	Payloads int      `json:"payloads" help:"payloads that were, or would be, sealed anew"`
	From     []string `json:"from" help:"keys that they were sealed under"`
	Left     int      `json:"left" help:"principals, and payloads under other keys in headers and in the schedule's own memo, which stay"`
	Unsealed int      `json:"unsealed" help:"payloads that signet did not seal, which stay"`
	Problem  string   `json:"problem,omitempty" help:"why it failed; the schedule is as it was"`
}

// States of a schedule in the output.
const (
	stateCurrent  = "current"
	stateResealed = "resealed"
	stateToReseal = "to reseal"
	stateFailed   = "failed"
)

// Run seals schedules anew.
func (c *resealCmd) Run(a *app, at *schedulesCmd, parsed *kong.Context) error {
	options, err := at.options()
	if err != nil {
		return err
	}
	keyset := cmp.Or(c.Keyset, "ns/"+options.Namespace)
	if err := checkNames(keyset); err != nil {
		return err
	}
	result := resealed{Namespace: options.Namespace, Keyset: keyset, Plan: c.Plan, Schedules: []resealSchedule{}}
	err = at.withStore(a, parsed, false, func(ctx context.Context, s *keyconfig.Opened) error {
		ring, err := keys.NewRing(ctx, s.Store, s.KEK, keys.RingOptions{Keysets: []string{keyset}})
		if err != nil {
			return missing(err, keyset, s)
		}
		defer ring.Close()
		o := converter.CodecOptions{Keyset: keyset, Scope: cmp.Or(c.Scope, options.Namespace)}
		var legacy *legacykeys.Decoder
		if c.LegacyKeys {
			if legacy, err = legacykeys.New(ring, keyset); err != nil {
				return err
			}
			o.Legacy = []converter.Legacy{legacy}
		}
		codec, err := converter.NewCodec(ring, o)
		if err != nil {
			return codedf(exitUsage, "%s", err)
		}
		primary, _, err := ring.Primary(keyset)
		if err != nil {
			return err
		}
		temporal, err := dial(ctx, options)
		if err != nil {
			return err
		}
		defer temporal.Close()
		result.Key = keys.ID(primary)
		r := resealer{service: temporal.WorkflowService(), namespace: options.Namespace, codec: codec, keyset: keyset, key: primary, plan: c.Plan, legacy: legacy}
		result.Schedules, err = r.all(ctx, c.IDs)
		return err
	})
	if err != nil {
		return err
	}
	if err := a.print(result, result.table); err != nil {
		return err
	}
	if n := result.count(stateFailed); n > 0 {
		return fmt.Errorf("%s not sealed anew: see why above, and run the command again", count(n, "schedule was", "schedules were"))
	}
	return nil
}

// all goes through the named schedules, or through all that the namespace has.
func (r resealer) all(ctx context.Context, ids []string) (all []resealSchedule, err error) {
	if len(ids) == 0 {
		if ids, err = r.list(ctx); err != nil {
			return nil, err
		}
	}
	for _, id := range ids {
		one, err := r.one(ctx, id)
		if err != nil && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			one.State, one.Problem = stateFailed, strings.Join(strings.Fields(err.Error()), " ")
		}
		all = append(all, one)
	}
	return all, nil
}

func (r resealer) list(ctx context.Context) (ids []string, err error) {
	req := &workflowservice.ListSchedulesRequest{Namespace: r.namespace, MaximumPageSize: 100}
	for {
		list, err := r.service.ListSchedules(ctx, req)
		if err != nil {
			return nil, fmt.Errorf("listing the schedules of namespace %s: %w", r.namespace, err)
		}
		for _, s := range list.GetSchedules() {
			ids = append(ids, s.GetScheduleId())
		}
		if req.NextPageToken = list.GetNextPageToken(); len(req.NextPageToken) == 0 {
			slices.Sort(ids)
			return slices.Compact(ids), nil
		}
	}
}

func (r resealed) count(state string) (n int) {
	for _, s := range r.Schedules {
		if s.State == state {
			n++
		}
	}
	return n
}

func (r resealed) table(w io.Writer) {
	fmt.Fprintf(w, "Key %s of keyset %s is primary in namespace %s.\n", r.Key, r.Keyset, r.Namespace)
	if len(r.Schedules) == 0 {
		fmt.Fprintln(w, "The namespace has no schedule.")
		return
	}
	fmt.Fprintln(w)
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "SCHEDULE\tSTATE\tPAYLOADS\tFROM\tLEFT\tUNSEALED")
	for _, s := range r.Schedules {
		fmt.Fprintf(tw, "%s\t%s\t%d\t%s\t%d\t%d\n", printable(s.ID), s.State, s.Payloads, dash(strings.Join(s.From, ", ")), s.Left, s.Unsealed)
	}
	tw.Flush()
	for _, s := range r.Schedules {
		if s.Problem != "" {
			fmt.Fprintf(w, "\n%s: %s\n", printable(s.ID), printable(s.Problem))
		}
	}
}
