package temporalcloud

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// counted counts the questions, and can be away.
type counted struct {
	directory
	asked atomic.Int32
	away  atomic.Bool
	wait  chan struct{} // nil: answers at once
}

func (c *counted) User(ctx context.Context, email string) (*User, error) {
	c.asked.Add(1)
	if c.wait != nil {
		<-c.wait
	}
	if c.away.Load() {
		return nil, errors.New("away")
	}
	return c.directory.User(ctx, email)
}

type clock struct{ at time.Time }

func newCached(t *testing.T, life time.Duration) (*Cache, *counted, *clock) {
	t.Helper()
	users, now := &counted{directory: directory{"ann@example.com": ann}}, &clock{time.Now()}
	c, err := NewCache(users, life)
	if err != nil {
		t.Fatal(err)
	}
	c.now = func() time.Time { return now.at }
	return c, users, now
}

func TestAnAnswerIsBelievedForItsLifeAndInAnOutageForOneMore(t *testing.T) {
	c, users, now := newCached(t, time.Minute)
	ask := func(email string, want *User, wantErr bool, asked int32) {
		t.Helper()
		got, err := c.User(t.Context(), email)
		if got != want || (err != nil) != wantErr || users.asked.Load() != asked {
			t.Errorf("%v after %d questions, %v; want %v after %d", got, users.asked.Load(), err, want, asked)
		}
	}
	ask("ann@example.com", ann, false, 1)
	now.at = now.at.Add(59 * time.Second)
	ask("ann@example.com", ann, false, 1)
	now.at = now.at.Add(time.Second)
	ask("ann@example.com", ann, false, 2)

	users.away.Store(true)
	now.at = now.at.Add(time.Minute)
	ask("ann@example.com", ann, false, 3)
	ask("ann@example.com", ann, false, 3) // not asked again at once
	ask("bob@example.com", nil, true, 4)  // who is not known does not count
	ask("bob@example.com", nil, true, 4)
	now.at = now.at.Add(time.Minute)
	ask("ann@example.com", nil, true, 5) // nor does somebody for ever
	users.away.Store(false)
	ask("ann@example.com", nil, true, 5)
	now.at = now.at.Add(failedFor)
	ask("ann@example.com", ann, false, 6)

	// Who has left is nobody, after one life, and an outage does not bring them back.
	delete(users.directory, "ann@example.com")
	now.at = now.at.Add(time.Minute)
	ask("ann@example.com", nil, false, 7)
	users.away.Store(true)
	now.at = now.at.Add(nobodyFor)
	ask("ann@example.com", nil, true, 8)
}

func TestQuestionsAboutTheSameUserAreOne(t *testing.T) {
	c, users, _ := newCached(t, 0)
	users.wait = make(chan struct{})
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if u, err := c.User(gone, "ann@example.com"); u != nil || !errors.Is(err, context.Canceled) {
		t.Errorf("a request that is over: %v, %v", u, err)
	}
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			if u, err := c.User(t.Context(), "ann@example.com"); u != ann || err != nil {
				t.Errorf("%v, %v", u, err)
			}
		})
	}
	close(users.wait)
	all.Wait()
	if n := users.asked.Load(); n != 1 {
		t.Errorf("%d questions", n)
	}
}

func TestACacheIsBounded(t *testing.T) {
	c, _, now := newCached(t, 0)
	for i := range maxAnswers + 10 {
		if _, err := c.User(t.Context(), fmt.Sprint(i, "@example.com")); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(c.answers); n > maxAnswers {
		t.Errorf("%d answers are kept", n)
	}
	clear(c.answers)
	for i := range maxAnswers {
		c.answers[fmt.Sprint(i)] = remembered{}
	}
	c.answers["kept"] = remembered{user: ann, fresh: now.at.Add(time.Minute), usable: now.at.Add(time.Hour)}
	if _, err := c.User(t.Context(), "x@example.com"); err != nil || len(c.answers) != 2 {
		t.Errorf("%d answers are left of those that are over, %v", len(c.answers), err)
	}
	for _, life := range []time.Duration{-1, time.Millisecond, 2 * time.Hour} {
		if _, err := NewCache(directory{}, life); err == nil {
			t.Errorf("a life of %v is taken", life)
		}
	}
}
