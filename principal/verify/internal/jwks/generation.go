package jwks

import "context"

// Generation is another number after each fetch that brought keys, the same ones or others; 0 before the first. It fetches
// nothing.
func (s *Set) Generation() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fetches
}

// Current is the generation of the keys that count now, for those who have verified with them before: it renews them as a
// token does that comes in, and has a [*FetchError] where such a token could not be judged.
func (s *Set) Current(ctx context.Context) (uint64, error) {
	if _, err := s.current(ctx); err != nil {
		return 0, err
	}
	return s.Generation(), nil
}
