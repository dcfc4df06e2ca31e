package converter

import (
	"encoding/base32"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/prf"

	"github.com/signet-temporal/signet/internal/wire"
)

// SearchKeys is what search tokens need of whoever holds PRF keysets, such as a keys.Ring: the functions of a keyset by key id, and which of
// them is primary. It is asked for every token: it must be safe for concurrent use and answer at once.
type SearchKeys interface {
	PRFs(keyset string) (*prf.Set, error)
}

// SearchTokenOptions says for what tokens are made. Keyset and Scope are required.
type SearchTokenOptions struct {
	Keyset string // of PRF keys: one for each namespace, or for each tenant
	Scope  string // the namespace, or the name that payloads are sealed for
	// Bits is the length of tokens, a multiple of 5 from 20 to 125; 0 means 80. Of n other values of an attribute n/2^Bits
	// have the same token as the one that is searched for. Choose it once: tokens of another length do not match.
	Bits int
}

// SearchTokens makes tokens that stand in for values in search attributes, which cannot be sealed: equal values of one
// attribute have equal tokens, and nobody without the key can tell of which value. Give the attribute the type Keyword.
// Form, error rate and what tokens give away stand in docs/spec/search-token-v1.md.
//
// It is safe for concurrent use, and may be called in workflow code: the SDK does not compare search attributes on replay.
type SearchTokens struct {
	keys   SearchKeys
	keyset string
	prefix []byte
	bits   int
}

// NewSearchTokens makes a SearchTokens. It does not look for the keyset in keys: the first token does.
func NewSearchTokens(keys SearchKeys, options SearchTokenOptions) (*SearchTokens, error) {
	if keys == nil {
		return nil, errors.New("converter: no search keys: give the ring that holds the keyset, or make them with NewSearchKeyring")
	}
	if err := wire.CheckName(options.Keyset); err != nil {
		return nil, fmt.Errorf("converter: %w", err)
	}
	if options.Scope == "" {
		return nil, errors.New("converter: SearchTokenOptions.Scope is empty: set it to the namespace")
	}
	bits := options.Bits
	if bits == 0 {
		bits = 80
	}
	if bits < 20 || bits > 125 || bits%5 != 0 {
		return nil, fmt.Errorf("converter: SearchTokenOptions.Bits is %d: give a multiple of 5 from 20 to 125", bits)
	}
	prefix := appendSized([]byte("signet/search-token/v1\x00"), options.Scope)
	return &SearchTokens{keys, options.Keyset, slices.Clip(prefix), bits}, nil
}

func appendSized(dst []byte, text string) []byte {
	return append(binary.BigEndian.AppendUint32(dst, uint32(len(text))), text...) // #nosec G115 -- a length
}

// SearchToken returns what to store in place of value: the token of the primary key. The error is an *[Error]; it and
// the token hold nothing of the value.
func (s *SearchTokens) SearchToken(attribute, value string) (string, error) {
	set, err := s.set(attribute, value)
	if err != nil {
		return "", err
	}
	return s.token(set.PRFs[set.PrimaryID], attribute, value)
}

// Candidates returns what to search for in place of value, one token for each key, that of the primary key first: older
// workflows have tokens of older keys. In a list filter they stand as attribute IN ('…','…').
func (s *SearchTokens) Candidates(attribute, value string) ([]string, error) {
	set, err := s.set(attribute, value)
	if err != nil {
		return nil, err
	}
	ids := slices.Sorted(maps.Keys(set.PRFs))
	ids = append([]uint32{set.PrimaryID}, slices.DeleteFunc(ids, func(id uint32) bool { return id == set.PrimaryID })...)
	tokens := make([]string, len(ids))
	for i, id := range ids {
		if tokens[i], err = s.token(set.PRFs[id], attribute, value); err != nil {
			return nil, err
		}
	}
	return tokens, nil
}

func (s *SearchTokens) set(attribute, value string) (*prf.Set, error) {
	if attribute == "" || value == "" {
		return nil, &Error{kind: ErrMalformed, detail: "a search token needs an attribute and a value: leave out attributes without a value"}
	}
	set, err := s.keys.PRFs(s.keyset)
	if err != nil {
		return nil, keyError(err)
	}
	if set == nil || set.PRFs[set.PrimaryID] == nil {
		return nil, &Error{kind: ErrKeyUnavailable, detail: fmt.Sprintf("keyset %q has no primary PRF key", s.keyset)}
	}
	return set, nil
}

var lowerBase32 = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

func (s *SearchTokens) token(f prf.PRF, attribute, value string) (string, error) {
	input := append(appendSized(s.prefix, attribute), value...)
	out, err := f.ComputePRF(input, uint32((s.bits+7)/8)) // #nosec G115 -- at most 16
	if err != nil {
		return "", &Error{kind: ErrKeyUnavailable, detail: "the key refused to make a search token", cause: err}
	}
	return lowerBase32.EncodeToString(out)[:s.bits/5], nil
}

// SearchKeyring is SearchKeys made of Tink keysets that somebody else keeps. It never changes.
type SearchKeyring struct{ sets map[string]*prf.Set }

// NewSearchKeyring takes keysets by name. Each holds PRF keys, as prf.HMACSHA256PRFKeyTemplate makes them.
func NewSearchKeyring(keysets map[string]*keyset.Handle) (*SearchKeyring, error) {
	ring := &SearchKeyring{make(map[string]*prf.Set, len(keysets))}
	for name, handle := range keysets {
		if err := wire.CheckName(name); err != nil {
			return nil, fmt.Errorf("converter: %w", err)
		}
		if handle == nil {
			return nil, fmt.Errorf("converter: search keyset %q is nil", name)
		}
		set, err := prf.NewPRFSet(handle)
		if err != nil {
			return nil, fmt.Errorf("converter: search keyset %q: %w", name, err)
		}
		ring.sets[name] = set
	}
	return ring, nil
}

// PRFs implements [SearchKeys].
func (r *SearchKeyring) PRFs(keyset string) (*prf.Set, error) {
	set, ok := r.sets[keyset]
	if !ok {
		return nil, fmt.Errorf("no search keyset %q: give it to NewSearchKeyring", keyset)
	}
	return set, nil
}
