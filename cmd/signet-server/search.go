package main

import (
	"cmp"
	"errors"
	"fmt"

	"github.com/signet-temporal/signet/codecserver"
	"github.com/signet-temporal/signet/converter"
	"github.com/signet-temporal/signet/keys"
)

// searchConfig says which keysets make the tokens that stand for values in search attributes: docs/search.md. Without it
// nobody searches in the namespace.
type searchConfig struct {
	// Keyset makes the tokens of the namespace, such as search/payments. It was made with --type=HMAC_SHA256_PRF.
	Keyset string `yaml:"keyset"`
	// Tenants have a keyset each, tenant/<tenant>/search, or what tenants.under says in place of tenant/, which is read at
	// its first use. A search names its tenant.
	Tenants bool `yaml:"tenants"`
	// Bits is the length of tokens, as those who store them have it. Default: 80.
	Bits int `yaml:"bits"`
}

func (c searchConfig) any() bool { return c.Keyset != "" || c.Tenants }

func (c searchConfig) check() error {
	switch {
	case !c.any() && c.Bits != 0:
		return errors.New("keyset: bits say nothing without keyset or tenants: give one of them")
	case c.Bits != 0 && (c.Bits < 20 || c.Bits > 125 || c.Bits%5 != 0):
		return fmt.Errorf("bits: %d is no length of tokens: give a multiple of 5 from 20 to 125, the same as those who store them", c.Bits)
	case c.Keyset == "":
		return nil
	}
	if err := keys.CheckName(c.Keyset); err != nil {
		return fmt.Errorf("keyset: %w", err)
	}
	return nil
}

// searchTokens makes tokens with the keys of a ring.
type searchTokens struct {
	ring *keys.Ring
	by   map[string]namespaceConfig // by scope
}

// searchesUnder is what the names of tenants' search keysets begin with; "" where tenants have none.
func (n namespaceConfig) searchesUnder() string {
	if !n.Search.Tenants {
		return ""
	}
	return cmp.Or(n.Tenants.Under, "tenant/")
}

// searches returns nil where no namespace says anything of search.
func (c *loaded) searches(ring *keys.Ring) (codecserver.SearchTokens, error) {
	s := &searchTokens{ring, map[string]namespaceConfig{}}
	for i, n := range c.Namespaces {
		if !n.Search.any() {
			continue
		}
		if n.Search.Keyset != "" {
			if _, err := ring.PRFs(n.Search.Keyset); err != nil {
				return nil, fmt.Errorf("namespaces[%d].search.keyset: %w", i, err)
			}
		}
		s.by[n.Scope] = n
	}
	if len(s.by) == 0 {
		return nil, nil
	}
	return s, nil
}

// SearchTokens implements [codecserver.SearchTokens].
func (s *searchTokens) SearchTokens(scope, tenant, attribute, value string) ([]string, error) {
	n := s.by[scope]
	keyset := n.Search.Keyset
	if tenant != "" {
		if keyset = n.searchesUnder() + tenant + "/search"; !n.Search.Tenants || keys.CheckName(keyset) != nil {
			keyset = ""
		}
	}
	if keyset == "" {
		return nil, codecserver.ErrNoSearchKeys
	}
	tokens, err := converter.NewSearchTokens(s.ring, converter.SearchTokenOptions{Keyset: keyset, Scope: scope, Bits: n.Search.Bits})
	if err != nil {
		return nil, err
	}
	all, err := tokens.Candidates(attribute, value)
	if errors.Is(err, keys.ErrNotFound) {
		return nil, fmt.Errorf("%w: %w", codecserver.ErrNoSearchKeys, err)
	}
	return all, err
}
