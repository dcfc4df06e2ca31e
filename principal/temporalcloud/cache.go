package temporalcloud

import (
	"context"
	"errors"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
)

const (
	// DefaultLife is how long a [Cache] believes what it was told.
	DefaultLife = 5 * time.Minute
	// MaxLife is the longest it may: so long somebody who has left still counts.
	MaxLife = time.Hour
	// nobodyFor is how long somebody counts as unknown, who may just have been invited.
	nobodyFor = 30 * time.Second
	// failedFor is how long a failed question is not asked again.
	failedFor = 5 * time.Second
	// askTimeout is for one question, whoever waits for it.
	askTimeout = 10 * time.Second
	// maxAnswers bounds the memory: whoever has a token of Temporal Cloud's can make the cache ask.
	maxAnswers = 10_000
)

// Cache remembers what [Users] say for a while. While they cannot be asked it goes on for one life more with what it
// knows, and then, and about everybody else, answers with their error: who is not known does not count. Questions about
// the same user at the same time are one. It is safe for concurrent use.
type Cache struct {
	users  Users
	life   time.Duration
	now    func() time.Time
	flight singleflight.Group

	mu      sync.Mutex
	answers map[string]remembered
}

type remembered struct {
	user   *User     // nil: nobody, or never known
	err    error     // of the last question
	fresh  time.Time // until then nobody is asked
	usable time.Time // until then user counts, though err stands in the way
}

// NewCache returns an empty cache; life 0 is [DefaultLife].
func NewCache(users Users, life time.Duration) (*Cache, error) {
	if life == 0 {
		life = DefaultLife
	}
	if life < time.Second || life > MaxLife {
		return nil, errors.New("cacheFor: it is not from 1s to 1h: so long somebody who has left still counts")
	}
	return &Cache{users: users, life: life, now: time.Now, answers: map[string]remembered{}}, nil
}

// User implements [Users]. The user is shared: leave it as it is.
func (c *Cache) User(ctx context.Context, email string) (*User, error) {
	if r, ok := c.known(email); ok {
		return r.answer(c.now())
	}
	asked := c.flight.DoChan(email, func() (any, error) { return c.ask(email), nil })
	select {
	case r := <-asked:
		return r.Val.(remembered).answer(c.now())
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (r remembered) answer(now time.Time) (*User, error) {
	if r.err != nil && (r.user == nil || !now.Before(r.usable)) {
		return nil, r.err
	}
	return r.user, nil
}

func (c *Cache) known(email string) (remembered, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r, ok := c.answers[email]
	return r, ok && c.now().Before(r.fresh)
}

// ask belongs to no request, so none can cut it short.
func (c *Cache) ask(email string) remembered {
	if r, ok := c.known(email); ok { // somebody has asked since this one looked
		return r
	}
	ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
	defer cancel()
	user, err := c.users.User(ctx, email)
	now := c.now()
	c.mu.Lock()
	defer c.mu.Unlock()
	r := remembered{user: user, err: err, fresh: now.Add(c.life), usable: now.Add(2 * c.life)}
	switch {
	case err != nil:
		r = c.answers[email]
		r.err, r.fresh = err, now.Add(failedFor)
	case user == nil:
		r.fresh = now.Add(min(nobodyFor, c.life))
	}
	c.makeRoom(now)
	c.answers[email] = r
	return r
}

// makeRoom forgets what is over, and if that is not enough everything: it can be asked again.
func (c *Cache) makeRoom(now time.Time) {
	if len(c.answers) < maxAnswers {
		return
	}
	for email, r := range c.answers {
		if !now.Before(r.fresh) && !now.Before(r.usable) {
			delete(c.answers, email)
		}
	}
	if len(c.answers) >= maxAnswers {
		clear(c.answers)
	}
}
