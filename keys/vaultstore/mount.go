package vaultstore

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
)

// mount is what Vault says is mounted where a path leads.
type mount struct {
	Path    string            `json:"path"` // ends in a slash
	Type    string            `json:"type"`
	Options map[string]string `json:"options"`
}

// mountAt asks Vault which engine serves path, which begins with the configured mount. Vault lets every token ask
// that may use anything in the mount, whatever its policies; it does not tell the others whether there is one.
func (s *Store) mountAt(ctx context.Context, field, at, path string) (mount, error) {
	c := call{path: "sys/internal/ui/mounts/" + path, capability: "read"}
	raw, err := s.get(ctx, c, nil)
	if isStatus(err, http.StatusForbidden) && saysInAnswer(err, "preflight capability check") {
		return mount{}, say(err, "Vault has no engine at %q, or the token may use nothing in it: check %s and the token's policy", at, field)
	}
	if err != nil {
		return mount{}, s.explain(c, err)
	}
	var m mount
	if err := json.Unmarshal(raw, &m); err != nil || m.Path == "" {
		return mount{}, say(nil, "Vault's answer at %q describes no mount: check that no proxy changes its answers", c.path)
	}
	return m, nil
}

// checkKV makes sure that KVMount is a KV v2 engine; it asks until Vault has said so once. A KV v1 engine answers
// reads of data/… with the 404 of a missing document, and takes writes to it with a 204 that checks nothing.
func (s *Store) checkKV(ctx context.Context) error {
	if s.kv2.Load() {
		return nil
	}
	at := s.opts.KVMount
	m, err := s.mountAt(ctx, "the KV mount (kvMount, --kv-mount)", at, at+"/data/"+s.opts.Prefix)
	if err != nil {
		return err
	}
	switch {
	case m.Path != at+"/":
		return say(nil, "Vault has no KV v2 engine at %q, but one of type %q at %q: check the KV mount (kvMount, --kv-mount)", at, m.Type, strings.TrimSuffix(m.Path, "/"))
	case m.Type != "kv" && m.Type != "generic":
		return say(nil, "Vault has no KV v2 engine at %q but one of type %q: check the KV mount (kvMount, --kv-mount)", at, m.Type)
	case m.Options["version"] != "2":
		return say(nil, "Vault's engine at %q is KV version 1, which has no check-and-set: check the KV mount (kvMount, --kv-mount), or upgrade it with: vault kv enable-versioning %s", at, at)
	}
	s.kv2.Store(true)
	return nil
}

func (s *Store) checkTransitMount(ctx context.Context) error {
	at := s.opts.TransitMount
	m, err := s.mountAt(ctx, "the Transit mount (transitMount, --transit-mount)", at, at+"/keys/"+s.opts.TransitKey)
	if err != nil {
		return err
	}
	if m.Path != at+"/" || m.Type != "transit" {
		return say(nil, "Vault has no Transit engine at %q but one of type %q at %q: check the Transit mount (transitMount, --transit-mount)", at, m.Type, strings.TrimSuffix(m.Path, "/"))
	}
	return nil
}

// explainKV explains a refused KV call. To a token with a narrow policy a wrong mount is "permission denied" as well,
// so the mount is asked about before the policy is blamed.
func (s *Store) explainKV(ctx context.Context, c call, err error) error {
	noHandler := isStatus(err, http.StatusNotFound)
	if noHandler || (isStatus(err, http.StatusForbidden) && !invalidToken(err)) {
		switch e := s.checkKV(ctx); {
		case noHandler && isStatus(e, http.StatusForbidden):
			return say(err, "Vault has no KV v2 engine at %q: check the KV mount (kvMount, --kv-mount)", s.opts.KVMount)
		case e != nil:
			return say(err, "%v", e)
		}
	}
	return s.explain(c, err)
}

// explainTransit explains a refused Transit call, likewise.
func (s *Store) explainTransit(c call, kek wrapper, err error) error {
	key, at := kek.name, s.opts.TransitMount
	switch {
	case isStatus(err, http.StatusNotFound):
		return say(err, "Vault has no Transit engine at %q: check the Transit mount (transitMount, --transit-mount), or enable it with: vault secrets enable -path=%s transit", at, at)
	case isStatus(err, http.StatusBadRequest) && saysInAnswer(err, "encryption key not found"):
		return say(err, "%s", s.missingKey(kek))
	case isStatus(err, http.StatusBadRequest) && saysInAnswer(err, "message authentication failed"):
		return say(err, "Transit key %q does not open it: it was wrapped for another keyset or by another Transit key, or was altered", key)
	case isStatus(err, http.StatusBadRequest) && saysInAnswer(err, "too old"):
		return say(err, "Transit key %q no longer opens the version it was wrapped with: lower min_decryption_version, rewrap, then raise it again", key)
	case isStatus(err, http.StatusForbidden) && !invalidToken(err) && s.client.Token() != "":
		return say(err, "Vault denied permission: check the Transit mount and key (transitMount, --transit-mount; transitKey, --transit-key), and that the token's policy grants %q on path %q", c.capability, c.path)
	}
	return s.explain(c, err)
}
