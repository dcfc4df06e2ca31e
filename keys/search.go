package keys

import "github.com/tink-crypto/tink-go/v2/prf"

// PRFs returns the functions that make search tokens under a keyset of type [HMACSHA256PRF]: one for each key that is
// pending, primary or retired, by key id, and which of them is primary. Stored tokens are made with the primary one, and
// whoever searches asks for the tokens of all: older workflows have those of retired keys, and the one that is pending here
// may be primary elsewhere. Like [Ring.Primary] it takes no lock, makes no call and allocates nothing. The error matches
// [ErrUnavailable]. Whoever calls must not change the set, which others use as well.
//
// A Ring is what converter.NewSearchTokens takes as its keys.
func (r *Ring) PRFs(keyset string) (*prf.Set, error) {
	m, err := r.member(keyset)
	if err != nil {
		return nil, err
	}
	now := m.now.Load()
	switch {
	case now.tokens != nil:
		return now.tokens, nil
	case m.idle(now) != nil:
		return nil, m.idle(now)
	case !now.searches && len(now.keys) > 0:
		return nil, m.unavailable("keyset %q seals payloads and makes no search tokens: name one that was made with \"signet keyset create --type=%s\"", m.name, HMACSHA256PRF)
	}
	return nil, m.unavailable("keyset %q has no primary key here: promote one with \"signet keyset promote %[1]s\"", m.name)
}

// functions returns those of all keys that open here.
func (s *snapshot) functions() *prf.Set {
	set := &prf.Set{PrimaryID: uint32(s.primary), PRFs: make(map[uint32]prf.PRF, len(s.keys))}
	for id, k := range s.keys {
		if k.prf != nil {
			set.PRFs[uint32(id)] = k.prf
		}
	}
	return set
}

func (m *member) sealsNothing() error {
	return m.unavailable("keyset %q makes search tokens, and seals and opens nothing: name another keyset for payloads", m.name)
}
