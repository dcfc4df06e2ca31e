package vaultstore

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/signet-temporal/signet/keys"
)

// wrapper is the Transit key that wraps the keys of a keyset.
type wrapper struct {
	name   string
	own    bool   // of keyset alone
	keyset string // if own
}

func (s *Store) shared() wrapper { return wrapper{name: s.opts.TransitKey} }

func (s *Store) wrapperOf(keyset string) wrapper {
	if s.opts.underOwn(keyset) {
		return wrapper{name: s.opts.ownKey(keyset), own: true, keyset: keyset}
	}
	return s.shared()
}

func (o Options) checkOwn() error {
	for _, under := range o.OwnKeysUnder {
		if !strings.HasSuffix(under, "/") || keys.CheckName(under+"x") != nil {
			return fmt.Errorf("vault ownKeysUnder %q: use the beginning of keysets' names up to a slash, such as \"tenant/\"", under)
		}
	}
	return nil
}

func (o Options) underOwn(keyset string) bool {
	for _, under := range o.OwnKeysUnder {
		if strings.HasPrefix(keyset, under) {
			return true
		}
	}
	return false
}

// ownKey names the Transit key of a keyset's own: the shared one's name, then the keyset's with "__" for a slash and "_u"
// for "_", such as signet__tenant__acme. So no two keysets have the same, and those of a folder have a common beginning.
// A name that ends in what no Transit key may end in gets "_e" behind it.
func (o Options) ownKey(keyset string) string {
	name := o.TransitKey + "__" + escaped.Replace(keyset)
	if strings.HasSuffix(name, ".") || strings.HasSuffix(name, "-") {
		name += "_e"
	}
	return name
}

var escaped = strings.NewReplacer("_", "_u", "/", "__")

// checkKEK refuses a keyset whose keys another Transit key wraps than the options say.
func (s *Store) checkKEK(k *keys.Keyset) error {
	own := s.opts.underOwn(k.Name)
	switch {
	case own == k.OwnKEK, !k.Shredded.IsZero():
		return nil
	case own:
		return say(nil, "keyset %q is wrapped by the shared Transit key, and ownKeysUnder (--own-keys-under) says that it has its own, which a keyset has from its creation on or never: leave what its name begins with out of ownKeysUnder", k.Name)
	}
	return say(nil, "keyset %q is wrapped by a Transit key of its own: name what its name begins with in ownKeysUnder (--own-keys-under)", k.Name)
}

// checkOwn refuses places where keysets are that have no Transit key of their own and should.
func (s *Store) checkOwn(ctx context.Context) error {
	for _, under := range s.opts.OwnKeysUnder {
		names, err := s.walk(ctx, under)
		if err != nil {
			return err
		}
		for _, name := range names {
			doc, err := s.read(ctx, name)
			if err != nil {
				return err
			}
			if doc.keyset == nil {
				continue
			}
			k, err := keys.ParseKeyset(name, doc.keyset)
			if err == nil {
				err = s.checkKEK(k)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// OwnKEK names the Transit key that wraps the keys of that keyset and of no other; "" where they share one.
func (s *Store) OwnKEK(keyset string) string {
	if w := s.wrapperOf(keyset); w.own {
		return w.name
	}
	return ""
}

// SharedKEK names the Transit key that wraps the keys of all other keysets.
func (s *Store) SharedKEK() string { return s.opts.TransitKey }

// Place is where in Vault the document of a keyset is: the mount of the KV engine, and the path in it.
func (s *Store) Place(keyset string) (mount, path string) {
	return s.opts.KVMount, s.opts.Prefix + "/" + keyset
}

// PrepareKEK makes the Transit key of a keyset's own, derived, if it is not there. One that is there and not derived is
// refused.
func (s *Store) PrepareKEK(ctx context.Context, keyset string) error {
	kek, there, _, err := s.ownThere(ctx, keyset)
	if err != nil || there {
		return err
	}
	c := call{path: s.opts.TransitMount + "/keys/" + kek.name, capability: "update"}
	if _, err := s.put(ctx, c, map[string]any{"derived": true}); err != nil {
		return fmt.Errorf("making Transit key %q of keyset %q: %w", kek.name, keyset, s.explainTransit(c, kek, err))
	}
	return nil
}

// ReleaseKEK lets the Transit key of a keyset's own be deleted, and reports whether it is there still.
func (s *Store) ReleaseKEK(ctx context.Context, keyset string) (there bool, err error) {
	kek, there, deletable, err := s.ownThere(ctx, keyset)
	if err != nil || !there || deletable {
		return there, err
	}
	c := call{path: s.opts.TransitMount + "/keys/" + kek.name + "/config", capability: "update"}
	if _, err := s.put(ctx, c, map[string]any{"deletion_allowed": true}); err != nil {
		return true, fmt.Errorf("allowing the deletion of Transit key %q: %w", kek.name, s.explainTransit(c, kek, err))
	}
	return true, nil
}

// RemoveKEK deletes the Transit key of a keyset's own, with all its versions. [Store.ReleaseKEK] comes before.
func (s *Store) RemoveKEK(ctx context.Context, keyset string) error {
	kek, there, _, err := s.ownThere(ctx, keyset)
	if err != nil || !there {
		return err
	}
	c := call{path: s.opts.TransitMount + "/keys/" + kek.name, capability: "delete"}
	err = s.remove(ctx, c)
	if err == nil {
		return nil
	}
	// An answer that was lost made a client below send it twice.
	if _, there, _, now := s.ownThere(ctx, keyset); now == nil && !there {
		return nil
	}
	return fmt.Errorf("deleting Transit key %q: %w", kek.name, s.explainTransit(c, kek, err))
}

// OwnVersions is [Store.Versions] for the Transit key of a keyset's own.
func (s *Store) OwnVersions(ctx context.Context, keyset string) (latest, oldest int, err error) {
	return s.versionsOf(ctx, s.wrapperOf(keyset))
}

// ownThere looks at the Transit key of a keyset's own. Only an answer of a Transit engine counts as "there is none".
func (s *Store) ownThere(ctx context.Context, keyset string) (kek wrapper, there, deletable bool, err error) {
	kek = s.wrapperOf(keyset)
	if !kek.own {
		return kek, false, false, say(nil, "keyset %q has no Transit key of its own: ownKeysUnder (--own-keys-under) names nothing that its name begins with", keyset)
	}
	key, err := s.checkTransitKey(ctx, kek)
	if isStatus(err, http.StatusNotFound) && namesNoError(err) {
		return kek, false, false, nil
	}
	return kek, err == nil, key.Deletable, err
}
