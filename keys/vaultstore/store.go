package vaultstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/hashicorp/vault/api"
	"golang.org/x/sync/errgroup"

	"github.com/signet-temporal/signet/keys"
)

// Options says where in Vault the keysets are. The zero value is the default layout of the package comment.
type Options struct {
	// KVMount is the path of the KV v2 engine. Default "secret".
	KVMount string
	// Prefix is the folder of the keyset documents in that engine. Default "signet/keysets".
	Prefix string
	// TransitMount is the path of the Transit engine. Default "transit".
	TransitMount string
	// TransitKey is the name of the derived Transit key that wraps keys. Default "signet".
	TransitKey string
	// OwnKeysUnder is what the names of those keysets begin with, up to a slash, that have a Transit key of their own each,
	// so that deleting it makes every copy of the wrapped keys worthless: "tenant/". Every program that uses the keysets is
	// told the same, before the first of them is created. The names of these Transit keys begin with TransitKey, so no two
	// prefixes of KV documents share one.
	OwnKeysUnder []string
	// Session, when set, is asked for a new token when Vault refuses the present one; the call is then made once
	// more. It must be the session of the client given to [New].
	Session *Session
}

var (
	segment    = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*$`)
	transitKey = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?$`)
)

func (o Options) withDefaults() (Options, error) {
	for _, f := range []struct {
		name  string
		value *string
		def   string
	}{
		{"kvMount", &o.KVMount, "secret"},
		{"prefix", &o.Prefix, "signet/keysets"},
		{"transitMount", &o.TransitMount, "transit"},
	} {
		if *f.value == "" {
			*f.value = f.def
		}
		for seg := range strings.SplitSeq(*f.value, "/") {
			if !segment.MatchString(seg) {
				return Options{}, fmt.Errorf("vault %s %q: use letters, digits, '_', '-', '.' in segments separated by '/', without a slash at either end", f.name, *f.value)
			}
		}
	}
	if o.TransitKey == "" {
		o.TransitKey = "signet"
	}
	if !transitKey.MatchString(o.TransitKey) {
		return Options{}, fmt.Errorf("vault transitKey %q: use letters, digits, '_', '-', '.', such as signet", o.TransitKey)
	}
	return o, o.checkOwn()
}

// Store keeps keyset documents in KV v2 and wraps keys with Transit. It is safe for concurrent use, also with other
// processes, and keeps nothing but the answers to two questions: is the KV mount a KV v2 engine, is the Transit key
// derived.
type Store struct {
	client  *api.Client
	opts    Options
	kv2     atomic.Bool // the KV mount was seen to be a KV v2 engine
	derived atomic.Bool // the Transit key was seen to honour its context
	clock   clock
}

var (
	_ keys.Store = (*Store)(nil)
	_ keys.KEK   = (*Store)(nil)
)

// New makes a Store over client. It does not call Vault. A path in opts that could lead elsewhere is an error.
func New(client *api.Client, opts Options) (*Store, error) {
	if client == nil {
		return nil, errors.New("vaultstore.New: no Vault client: make one with vaultstore.NewClient")
	}
	o, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	return &Store{client: client, opts: o}, nil
}

// document is what a read of the KV engine says about one keyset.
type document struct {
	keyset  json.RawMessage // nil when there is no live document
	version int             // KV's own version, also of a deleted document; 0 when there never was one
	created string          // when KV made that version
}

// id is the keys.Version of the document. KV counts from 1 again once a document's metadata was deleted, so the time
// belongs to it.
func (d document) id() keys.Version {
	if d.keyset == nil {
		return ""
	}
	return versionID(d.version, d.created)
}

func versionID(version int, created string) keys.Version {
	return keys.Version(fmt.Sprintf("%d@%s", version, created))
}

func (s *Store) dataPath(name string) string {
	return s.opts.KVMount + "/data/" + s.opts.Prefix + "/" + name
}

// Fetch implements keys.Store. A deleted or destroyed document is not found; a mount that is missing, that is no
// KV v2 engine or that the token may not read is an error of its own, never "not found".
func (s *Store) Fetch(ctx context.Context, name string) (*keys.Keyset, keys.Version, error) {
	if err := keys.CheckName(name); err != nil {
		return nil, "", err
	}
	doc, err := s.read(ctx, name)
	if err != nil {
		return nil, "", fmt.Errorf("fetching keyset %q: %w", name, err)
	}
	if doc.keyset == nil {
		return nil, "", fmt.Errorf("no keyset %q at %q in Vault: %w", name, s.dataPath(name), keys.ErrNotFound)
	}
	k, err := keys.ParseKeyset(name, doc.keyset)
	if err == nil {
		err = s.checkKEK(k)
	}
	if err != nil {
		return nil, "", err
	}
	return k, doc.id(), nil
}

// Replace implements keys.Store. The document is read first, because KV's own check-and-set takes a deleted document
// for an unchanged one (its version number stays) and a re-created one for the old one (numbers start again at 1);
// the check-and-set write then closes the race with every other writer. Only an operator's vault kv undelete or vault
// kv metadata delete in the moment between the two calls goes unseen.
func (s *Store) Replace(ctx context.Context, k *keys.Keyset, old keys.Version) (keys.Version, error) {
	if err := k.Check(); err != nil {
		return "", err
	}
	if err := s.checkKEK(k); err != nil {
		return "", err
	}
	doc, err := s.read(ctx, k.Name)
	if err != nil {
		return "", fmt.Errorf("storing keyset %q: %w", k.Name, err)
	}
	if doc.id() != old {
		return "", fmt.Errorf("storing keyset %q: %w", k.Name, keys.ErrConflict)
	}
	// A write to a KV v1 engine at this path would succeed and check nothing.
	if err := s.checkKV(ctx); err != nil {
		return "", fmt.Errorf("storing keyset %q: %w", k.Name, err)
	}
	c := call{path: s.dataPath(k.Name), capability: "update"}
	if doc.version == 0 {
		c.capability = "create"
	}
	data, err := s.putOnce(ctx, c, map[string]any{
		"data":    map[string]any{"keyset": k},
		"options": map[string]any{"cas": doc.version},
	})
	if isStatus(err, http.StatusBadRequest) && saysInAnswer(err, "check-and-set parameter did not match") {
		return "", fmt.Errorf("storing keyset %q: %w", k.Name, keys.ErrConflict)
	}
	if err != nil {
		return "", fmt.Errorf("storing keyset %q: %w", k.Name, s.explainKV(ctx, c, err))
	}
	number, _ := data["version"].(json.Number)
	version, err := number.Int64()
	created, _ := data["created_time"].(string)
	if err != nil || created == "" {
		return "", fmt.Errorf("storing keyset %q: Vault took the document but answered without its version: fetch it again", k.Name)
	}
	return versionID(int(version), created), nil
}

// List implements keys.Store. It walks the folders below the prefix and leaves out deleted documents, which KV still
// lists, and what cannot be a keyset's name. It reads every document: it is for custodians, not for a hot path.
func (s *Store) List(ctx context.Context) ([]string, error) {
	found, err := s.walk(ctx, "")
	if err != nil {
		return nil, fmt.Errorf("listing keysets: %w", err)
	}
	live := make([]bool, len(found))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(8)
	for i, name := range found {
		g.Go(func() error {
			doc, err := s.read(gctx, name)
			if errors.Is(err, errNoKeyset) { // whoever fetches it is told; one such secret does not hide all keysets
				live[i] = true
				return nil
			}
			live[i] = doc.keyset != nil
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, fmt.Errorf("listing keysets: %w", err)
	}
	names := make([]string, 0, len(found))
	for i, name := range found {
		if live[i] {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}

// walk returns the names of all documents in the folder dir ("" or ending in a slash) and below.
func (s *Store) walk(ctx context.Context, dir string) ([]string, error) {
	c := call{path: s.opts.KVMount + "/metadata/" + s.opts.Prefix + "/" + dir, capability: "list"}
	raw, err := s.get(ctx, c, url.Values{"list": {"true"}})
	if isStatus(err, http.StatusNotFound) && namesNoError(err) {
		return nil, s.checkKV(ctx)
	}
	if err != nil {
		return nil, s.explainKV(ctx, c, err)
	}
	var data struct{ Keys []string }
	if err := json.Unmarshal(raw, &data); err != nil {
		return nil, say(err, "Vault's list of %q is not what a KV v2 engine answers: %v", c.path, err)
	}
	var names []string
	for _, key := range data.Keys {
		name := dir + key
		if keys.CheckName(strings.TrimSuffix(name, "/")) != nil {
			continue
		}
		if !strings.HasSuffix(key, "/") {
			names = append(names, name)
			continue
		}
		below, err := s.walk(ctx, name)
		if err != nil {
			return nil, err
		}
		names = append(names, below...)
	}
	return names, nil
}

var errNoKeyset = errors.New("has no field \"keyset\"")

// read asks the KV engine for one document. Only an answer that came from a KV v2 engine counts as "there is none".
func (s *Store) read(ctx context.Context, name string) (document, error) {
	c := call{path: s.dataPath(name), capability: "read"}
	raw, err := s.get(ctx, c, nil)
	gone := isStatus(err, http.StatusNotFound) && namesNoError(err)
	if err != nil && !gone {
		return document{}, s.explainKV(ctx, c, err)
	}
	var data struct {
		Data *struct {
			Keyset json.RawMessage `json:"keyset"`
		} `json:"data"`
		Metadata *struct {
			Version int    `json:"version"`
			Created string `json:"created_time"`
		} `json:"metadata"`
	}
	if len(raw) > 0 {
		if err := json.Unmarshal(raw, &data); err != nil {
			return document{}, say(err, "Vault's answer at %q is not a keyset document of a KV v2 engine: %v", c.path, err)
		}
	}
	if data.Metadata == nil {
		if err := s.checkKV(ctx); err != nil {
			return document{}, err
		}
		if gone {
			return document{}, nil
		}
		return document{}, say(nil, "Vault answered without a version at %q: check that no proxy changes its answers", c.path)
	}
	s.kv2.Store(true)
	doc := document{version: data.Metadata.Version, created: data.Metadata.Created}
	if data.Data == nil {
		return doc, nil
	}
	if doc.keyset = data.Data.Keyset; doc.keyset == nil {
		return document{}, fmt.Errorf("the secret at %q %w, so signet did not write it: move it out of prefix %q", c.path, errNoKeyset, s.opts.Prefix)
	}
	return doc, nil
}
