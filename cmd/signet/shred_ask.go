package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"go.temporal.io/api/workflowservice/v1"

	"github.com/signet-temporal/signet/keys/census"
)

// openUse is what is known of what is open in one namespace and needs the keysets, and of what will not open any more.
type openUse struct {
	Namespace       string     `json:"namespace" help:"the namespace"`
	From            string     `json:"from" help:"where that comes from: Temporal's address, or the file of a census"`
	Listed          *int64     `json:"listed,omitempty" help:"open workflows whose ids are the tenants'; none if they were not listed"`
	ListedIDs       []string   `json:"listedIds,omitempty" help:"up to twenty of them"`
	Began           *time.Time `json:"began,omitempty" help:"when the census began; none if it was not taken"`
	Workflows       int64      `json:"workflows" help:"workflow runs that it looked at"`
	Payloads        int64      `json:"payloads" help:"payloads under the keysets"`
	OpenWorkflows   int64      `json:"openWorkflows" help:"open workflow runs that carry some"`
	ClosedWorkflows int64      `json:"closedWorkflows" help:"closed ones, which do not open any more when the keysets are shredded"`
	Schedules       int64      `json:"schedules" help:"schedules that carry some"`
	Alone           int64      `json:"alone" help:"open standalone activities and Nexus operations that carry some"`
	WorkflowIDs     []string   `json:"workflowIds,omitempty" help:"some workflows that carry some, open or closed"`
	ScheduleIDs     []string   `json:"scheduleIds,omitempty" help:"some of the schedules"`
	Unproven        string     `json:"unproven,omitempty" help:"why the census may have missed something open"`
}

func (u openUse) open() bool {
	return u.Listed != nil && *u.Listed > 0 || u.OpenWorkflows+u.Schedules+u.Alone > 0
}

// maxListed is how many open workflows are named.
const maxListed = 20

// beginnings are what the ids of the tenants' workflows begin with, as far as that is known.
func (c *shredCmd) beginnings() ([]string, error) {
	if c.WorkflowsBegin != "" {
		return []string{c.WorkflowsBegin}, nil
	}
	places, err := c.places()
	if err != nil {
		return nil, err
	}
	var all []string
	for _, name := range c.Names {
		longest := ""
		for _, under := range places.OwnKeysUnder {
			if strings.HasPrefix(name, under) && len(under) > len(longest) {
				longest = under
			}
		}
		if longest != "" {
			all = append(all, strings.TrimPrefix(name, longest)+"/")
		}
	}
	return all, nil
}

// ask lists in every namespace what is open, and if nothing is takes the censuses that are still to be taken: a list is
// made in seconds, and a census may take hours. With a plan nobody is asked.
func (c *shredCmd) ask(a *app, q asking) ([]openUse, error) {
	begin, err := c.beginnings()
	if err != nil {
		return nil, err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var all []openUse
	for _, namespace := range q.walk {
		u, err := c.list(ctx, a, namespace, begin)
		if err != nil {
			return nil, err
		}
		all = append(all, u)
	}
	listed := slices.ContainsFunc(all, openUse.open)
	for i, namespace := range q.walk {
		if c.Plan || listed && !c.AllowOpenWorkflows {
			break
		}
		r, err := c.walkOf(ctx, a, namespace, 0)
		if err != nil {
			return nil, err
		}
		c.count(&all[i], r.Result)
	}
	for _, saved := range q.saved {
		u := openUse{Namespace: saved.Namespace, From: saved.from}
		c.count(&u, saved.Result)
		all = append(all, u)
	}
	return all, nil
}

// list looks for open workflows by their ids.
func (c *shredCmd) list(ctx context.Context, a *app, namespace string, begin []string) (openUse, error) {
	options, err := c.options(namespace)
	if err != nil {
		return openUse{}, err
	}
	u := openUse{Namespace: namespace, From: options.HostPort}
	if c.Plan || len(begin) == 0 {
		return u, nil
	}
	temporal, err := dial(ctx, options)
	if err != nil {
		return u, err
	}
	defer temporal.Close()
	defer a.waiting("listing open workflows of namespace " + printable(namespace))()
	u.Listed = new(int64)
	for _, b := range begin {
		query := fmt.Sprintf("ExecutionStatus = 'Running' AND WorkflowId STARTS_WITH '%s'", b)
		count, err := temporal.CountWorkflow(ctx, &workflowservice.CountWorkflowExecutionsRequest{Namespace: namespace, Query: query})
		if err != nil {
			return u, fmt.Errorf("listing open workflows of namespace %s at %s: %w", namespace, options.HostPort, err)
		}
		if *u.Listed += count.GetCount(); count.GetCount() == 0 || len(u.ListedIDs) >= maxListed {
			continue
		}
		page, err := temporal.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{Namespace: namespace, Query: query, PageSize: maxListed})
		if err != nil {
			return u, fmt.Errorf("listing open workflows of namespace %s at %s: %w", namespace, options.HostPort, err)
		}
		for _, info := range page.GetExecutions() {
			if len(u.ListedIDs) < maxListed {
				u.ListedIDs = append(u.ListedIDs, info.GetExecution().GetWorkflowId())
			}
		}
	}
	return u, nil
}

// count adds what a census found of the keysets.
func (c *shredCmd) count(u *openUse, r *census.Result) {
	u.Began, u.Workflows = &r.Began, r.Open+r.Closed
	for id, k := range r.Keys {
		if !slices.Contains(c.Names, id[:max(0, strings.LastIndexByte(id, '/'))]) {
			continue
		}
		u.Payloads += k.Total()
		u.OpenWorkflows, u.ClosedWorkflows, u.Schedules, u.Alone = u.OpenWorkflows+k.Open, u.ClosedWorkflows+k.Closed, u.Schedules+k.Schedules, u.Alone+k.Alone
		u.WorkflowIDs, u.ScheduleIDs = append(u.WorkflowIDs, k.WorkflowIDs...), append(u.ScheduleIDs, k.ScheduleIDs...)
	}
	for _, list := range []*[]string{&u.WorkflowIDs, &u.ScheduleIDs} {
		slices.Sort(*list)
		*list = slices.Compact(*list)
		*list = (*list)[:min(len(*list), maxListed)]
	}
	switch {
	case r.Overflow > 0:
		u.Unproven = "it met more keys than it had room for: take it with more"
	case r.Later > 0:
		u.Unproven = fmt.Sprintf("it met %d payloads of a later format: upgrade signet", r.Later)
	case r.References > 0 && (u.Listed == nil || c.WorkflowsBegin == ""): // a guess at ids that listed nothing shows nothing
		u.Unproven = fmt.Sprintf("it met %d references to payloads in external storage, whose keys it cannot see: name what the ids of the tenant's workflows begin with, with --workflows-beginning-with", r.References)
	}
}

// against says in one line why the keysets must stay, or nil.
func (c *shredCmd) against(all []openUse) error {
	if c.AllowOpenWorkflows || c.Plan {
		return nil
	}
	var reasons []string
	asked, met := map[string]bool{}, false
	for _, u := range all {
		asked[u.Namespace] = true
		met = met || u.Payloads > 0
		switch {
		case u.Listed != nil && *u.Listed > 0:
			reasons = append(reasons, fmt.Sprintf("namespace %s has %s whose ids are the tenant's", printable(u.Namespace), grouped(*u.Listed)+" open "+pick(*u.Listed, "workflow", "workflows")))
		case u.open():
			reasons = append(reasons, fmt.Sprintf("namespace %s has %s open workflows, %s schedules and %s standalone activities and operations that carry payloads of it", printable(u.Namespace), grouped(u.OpenWorkflows), grouped(u.Schedules), grouped(u.Alone)))
		case u.Unproven != "":
			reasons = append(reasons, fmt.Sprintf("the census of namespace %s proves nothing: %s", printable(u.Namespace), u.Unproven))
		}
	}
	for _, name := range c.Names {
		home := homeOf(name)
		if home == "" || asked[home] || met || len(reasons) > 0 {
			continue
		}
		reasons = append(reasons, fmt.Sprintf("no namespace that was asked carries anything of it, and namespace %s was not asked: name the right ones", home))
	}
	if len(reasons) == 0 {
		return nil
	}
	advice := ""
	if slices.ContainsFunc(all, openUse.open) {
		advice = ": let them end or terminate them, delete schedules, and run the command again"
	}
	return codedf(exitRefused, "nothing was changed: %s%s", strings.Join(reasons, "; "), advice)
}

// homeOf is the namespace that a keyset's name tells, "" for none.
func homeOf(name string) string {
	rest, ok := strings.CutPrefix(name, "ns/")
	if !ok {
		return ""
	}
	home, _, _ := strings.Cut(rest, "/")
	return home
}

// table shows for people what is open, and what will not open any more.
func (u openUse) table(w io.Writer, planned bool, now time.Time) {
	name := printable(u.Namespace)
	if planned {
		if u.Began != nil {
			fmt.Fprintf(w, "  before that: the census of namespace %s in %s, which began %s, must have met nothing open\n", name, u.From, ago(*u.Began, now))
		} else {
			fmt.Fprintf(w, "  before that: a list of open workflows and a census of namespace %s at %s must show nothing open\n", name, u.From)
		}
		return
	}
	if u.Listed != nil {
		fmt.Fprintf(w, "%s  %s open %s by id\n", name, grouped(*u.Listed), pick(*u.Listed, "workflow", "workflows"))
		for _, id := range u.ListedIDs {
			fmt.Fprintf(w, "  %s\n", printable(id))
		}
		if more := *u.Listed - int64(len(u.ListedIDs)); more > 0 {
			fmt.Fprintf(w, "  and %s more\n", grouped(more))
		}
	}
	if u.Began == nil {
		return
	}
	fmt.Fprintf(w, "%s  %s %s under the keys, in %s open and %s closed of %s, by a census that began at %s\n", name, grouped(u.Payloads), pick(u.Payloads, "payload", "payloads"),
		grouped(u.OpenWorkflows), grouped(u.ClosedWorkflows), runs(u.Workflows), clock(*u.Began, now))
	if len(u.WorkflowIDs) > 0 {
		fmt.Fprintf(w, "  workflows  such as %s\n", ids(u.WorkflowIDs))
	}
	if u.Schedules > 0 {
		fmt.Fprintf(w, "  schedules  %s, such as %s\n", grouped(u.Schedules), ids(u.ScheduleIDs))
	}
	if u.Alone > 0 {
		fmt.Fprintf(w, "  standalone activities and operations  %s\n", grouped(u.Alone))
	}
}
