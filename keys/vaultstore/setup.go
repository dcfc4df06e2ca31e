package vaultstore

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
)

// SetupStep is one thing that Vault lacks for signet.
type SetupStep struct {
	Path string // what is written to
	Does string // for people
	body map[string]any
}

// PlanSetup returns what is missing in Vault: the two engines, the derived Transit key, and the policy of each role,
// called signet-ROLE. Transit keys of keysets' own are made with the keysets; one under [Options.OwnKeysUnder] that has
// none is an error. Whatever is there and of another kind is an error and is not touched; a policy of that name with
// another text is a step. It needs more rights than any role has.
func (s *Store) PlanSetup(ctx context.Context) ([]SetupStep, error) {
	steps, err := s.planMounts(ctx)
	if err != nil {
		return nil, fmt.Errorf("looking at what Vault has: %w", err)
	}
	// Without the engine there is no key either.
	missing, empty := false, false
	for _, step := range steps {
		missing = missing || step.Path == "sys/mounts/"+s.opts.TransitMount
		empty = empty || step.Path == "sys/mounts/"+s.opts.KVMount
	}
	if !empty {
		if err := s.checkOwn(ctx); err != nil {
			return nil, fmt.Errorf("looking at what Vault has: %w", err)
		}
	}
	if !missing {
		if missing, err = s.lacksTransitKey(ctx); err != nil {
			return nil, fmt.Errorf("looking at what Vault has: %w", err)
		}
	}
	if missing {
		steps = append(steps, SetupStep{
			Path: s.opts.TransitMount + "/keys/" + s.opts.TransitKey,
			Does: "create the Transit key, derived, so that a wrapped key is bound to its keyset's name",
			body: map[string]any{"derived": true},
		})
	}
	for _, role := range Roles() {
		step, err := s.planPolicy(ctx, role)
		if err != nil {
			return nil, fmt.Errorf("looking at what Vault has: %w", err)
		}
		if step != nil {
			steps = append(steps, *step)
		}
	}
	return steps, nil
}

// Setup takes the steps of [Store.PlanSetup]. It stops at the first that fails; what was done stays, and need not be
// done again.
func (s *Store) Setup(ctx context.Context, steps []SetupStep) error {
	for _, step := range steps {
		c := call{path: step.Path, capability: "update"}
		if _, err := s.put(ctx, c, step.body); err != nil {
			return fmt.Errorf("preparing Vault: %w", s.explain(c, err))
		}
	}
	return nil
}

func (s *Store) planMounts(ctx context.Context) ([]SetupStep, error) {
	c := call{path: "sys/mounts", capability: "read"}
	raw, err := s.get(ctx, c, nil)
	if err != nil {
		return nil, s.explain(c, err)
	}
	var mounts map[string]mount
	if err := json.Unmarshal(raw, &mounts); err != nil {
		return nil, say(nil, "Vault's answer at %q describes no mounts: check that no proxy changes its answers", c.path)
	}
	var steps []SetupStep
	switch kv, there := mounts[s.opts.KVMount+"/"]; {
	case !there:
		steps = append(steps, SetupStep{
			Path: "sys/mounts/" + s.opts.KVMount,
			Does: "enable a KV version 2 engine, which keeps the keysets",
			body: map[string]any{"type": "kv", "options": map[string]any{"version": "2"}},
		})
	case kv.Type != "kv" || kv.Options["version"] != "2":
		return nil, say(nil, "Vault has an engine of type %q at %q that is not KV version 2: name another place with --kv-mount", kv.Type, s.opts.KVMount)
	}
	switch transit, there := mounts[s.opts.TransitMount+"/"]; {
	case !there:
		steps = append(steps, SetupStep{
			Path: "sys/mounts/" + s.opts.TransitMount,
			Does: "enable a Transit engine, which wraps keys",
			body: map[string]any{"type": "transit"},
		})
	case transit.Type != "transit":
		return nil, say(nil, "Vault has an engine of type %q at %q: name another place with --transit-mount", transit.Type, s.opts.TransitMount)
	}
	return steps, nil
}

func (s *Store) lacksTransitKey(ctx context.Context) (bool, error) {
	_, err := s.checkTransitKey(ctx, s.shared())
	if isStatus(err, http.StatusNotFound) && namesNoError(err) {
		return true, nil
	}
	return false, err
}

func (s *Store) planPolicy(ctx context.Context, role Role) (*SetupStep, error) {
	text, err := s.opts.Policy(role)
	if err != nil {
		return nil, err
	}
	c := call{path: "sys/policies/acl/signet-" + string(role), capability: "read"}
	raw, err := s.get(ctx, c, nil)
	absent := isStatus(err, http.StatusNotFound) && namesNoError(err)
	if err != nil && !absent {
		return nil, s.explain(c, err)
	}
	step := &SetupStep{Path: c.path, Does: "write the policy of the role " + string(role), body: map[string]any{"policy": text}}
	if absent {
		return step, nil
	}
	var there struct {
		Policy string `json:"policy"`
	}
	if err := json.Unmarshal(raw, &there); err != nil {
		return nil, say(nil, "Vault's answer at %q is no policy: check that no proxy changes its answers", c.path)
	}
	if there.Policy == text {
		return nil, nil
	}
	step.Does = "replace the policy of the role " + string(role) + ", which has another text"
	return step, nil
}
