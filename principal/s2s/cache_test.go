package s2s_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/signet-temporal/signet/principal/s2s"
)

// source mints tokens "token-1", "token-2", … that live for life, slowly and while it is not down.
type source struct {
	life, delay time.Duration

	mu    sync.Mutex
	down  error
	calls int
}

func (s *source) Token(ctx context.Context, audience string) (s2s.Token, error) {
	select {
	case <-time.After(s.delay):
	case <-ctx.Done():
		return s2s.Token{}, ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	if s.down != nil {
		return s2s.Token{}, s.down
	}
	return s2s.NewToken(fmt.Sprintf("token-%d", s.calls), time.Now().Add(s.life)), nil
}

func (s *source) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = err
}

func (s *source) asked() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls
}

func newCache(t testing.TB, source s2s.TokenSource, o s2s.CacheOptions) *s2s.Cache {
	t.Helper()
	cache, err := s2s.NewCache(source, o)
	if err != nil {
		t.Fatal(err)
	}
	return cache
}

func wantToken(t *testing.T, cache *s2s.Cache, want string) s2s.Token {
	t.Helper()
	got, err := cache.Token(t.Context(), "payments")
	if err != nil || got.Reveal() != want {
		t.Fatalf("token %q, %v, want %q", got.Reveal(), err, want)
	}
	return got
}

func TestATokenIsServedFromMemoryAndReplacedInTheBackgroundAt80PercentOfItsLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &source{life: 10 * time.Minute, delay: time.Second}
		cache := newCache(t, src, s2s.CacheOptions{})
		wantToken(t, cache, "token-1")
		for range 7 { // seven minutes and 59 seconds
			time.Sleep(time.Minute)
			wantToken(t, cache, "token-1")
		}
		time.Sleep(58 * time.Second)
		wantToken(t, cache, "token-1")
		synctest.Wait()
		if src.asked() != 1 {
			t.Fatalf("the source was asked %d times before 80 %%", src.asked())
		}
		time.Sleep(2 * time.Second)
		before, running := time.Now(), runtime.NumGoroutine()
		for range 100 {
			wantToken(t, cache, "token-1") // while the source is being asked
		}
		if more := runtime.NumGoroutine() - running; more > 2 {
			t.Errorf("a hundred calls started %d goroutines for one refresh", more)
		}
		if waited := time.Since(before); waited != 0 {
			t.Errorf("a call waited %s for a refresh", waited)
		}
		time.Sleep(2 * time.Second)
		wantToken(t, cache, "token-2")
		if src.asked() != 2 {
			t.Errorf("the source was asked %d times, want 2", src.asked())
		}
	})
}

func TestAnOldTokenIsServedUntil15SecondsBeforeItsExpiryWhileTheSourceFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &source{life: 10 * time.Minute}
		cache := newCache(t, src, s2s.CacheOptions{})
		wantToken(t, cache, "token-1")
		src.fail(errors.New("Vault is\nsealed"))
		time.Sleep(8 * time.Minute)
		for range 104 { // one call a second, until 16 seconds before the expiry
			time.Sleep(time.Second)
			wantToken(t, cache, "token-1")
		}
		synctest.Wait()
		if n := src.asked() - 1; n < 7 || n > 20 {
			t.Errorf("a source that fails was asked %d times in 104 s, want about 11", n)
		}
		time.Sleep(2 * time.Second)
		for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(time.Second) {
			_, err := cache.Token(t.Context(), "payments")
			if err == nil || !strings.Contains(err.Error(), `"payments": Vault is sealed`) || strings.Contains(err.Error(), "\n") {
				t.Fatalf("with no token left: %v", err)
			}
		}
		src.fail(nil)
		time.Sleep(30 * time.Second)
		if _, err := cache.Token(t.Context(), "payments"); err != nil {
			t.Errorf("after the outage: %v", err)
		}
	})
}

func TestAFailedSourceIsLeftAloneForAWhileByCallsThatHaveNoToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &source{life: time.Minute, down: errors.New("down")}
		cache := newCache(t, src, s2s.CacheOptions{})
		for range 1000 {
			if _, err := cache.Token(t.Context(), "payments"); err == nil {
				t.Fatal("a token from a source that is down")
			}
		}
		if src.asked() != 1 {
			t.Errorf("1000 calls at once asked a failing source %d times, want once", src.asked())
		}
		time.Sleep(2 * time.Second)
		if _, err := cache.Token(t.Context(), "payments"); err == nil || src.asked() != 2 {
			t.Errorf("two seconds later: %v, asked %d times", err, src.asked())
		}
	})
}

func TestHoweverManyWaitTheSourceIsAskedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &source{life: time.Minute, delay: time.Second}
		cache := newCache(t, src, s2s.CacheOptions{})
		hasty, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		var all sync.WaitGroup
		all.Go(func() { // the first to come starts the call, and its giving up must not end it for the others
			if _, err := cache.Token(hasty, "payments"); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("a caller in a hurry: %v", err)
			}
		})
		synctest.Wait()
		for range 100 {
			all.Go(func() { wantToken(t, cache, "token-1") })
		}
		all.Wait()
		if src.asked() != 1 {
			t.Errorf("the source was asked %d times, want once", src.asked())
		}
	})
}

func TestASourceThatHangsIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cache := newCache(t, &source{delay: time.Hour}, s2s.CacheOptions{})
		began := time.Now()
		if _, err := cache.Token(t.Context(), "payments"); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != 10*time.Second {
			t.Errorf("%v after %s, want a timeout after 10 s", err, time.Since(began))
		}
	})
}

func TestADroppedTokenIsReplacedAtTheNextCallAndAYoungOneIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &source{life: 10 * time.Minute}
		cache := newCache(t, src, s2s.CacheOptions{})
		first := wantToken(t, cache, "token-1")
		if cache.Drop("payments", first) {
			t.Error("a token that was just got is dropped: a service that refuses everything would flood the source")
		}
		time.Sleep(10 * time.Second)
		if !cache.Drop("payments", first) {
			t.Error("a refused token is kept")
		}
		wantToken(t, cache, "token-2")
		if !cache.Drop("payments", first) || src.asked() != 2 {
			t.Error("one that was replaced already: the caller is not told that there is another")
		}
		wantToken(t, cache, "token-2")
		if cache.Drop("nobody", first) {
			t.Error("an audience that nobody asked for has another token")
		}
	})
}

func TestTokensAreKeptByAudienceAndForSoMany(t *testing.T) {
	cache := newCache(t, &source{life: time.Minute}, s2s.CacheOptions{MaxAudiences: 2})
	one, err1 := cache.Token(t.Context(), "a")
	two, err2 := cache.Token(t.Context(), "b")
	if err := errors.Join(err1, err2); err != nil || one.Reveal() == two.Reveal() {
		t.Errorf("two audiences share a token: %v", err)
	}
	if _, err := cache.Token(t.Context(), "c"); err == nil || !strings.Contains(err.Error(), "MaxAudiences") {
		t.Errorf("a third audience of two: %v", err)
	}
	if again, err := cache.Token(t.Context(), "a"); err != nil || again.Reveal() != one.Reveal() {
		t.Errorf("the first audience: %v", err)
	}
}

func TestWhatNoServiceWouldAcceptIsNotServed(t *testing.T) {
	for name, token := range map[string]s2s.Token{
		"empty":   s2s.NewToken("", time.Now().Add(time.Hour)),
		"expires": s2s.NewToken("canary", time.Time{}),
		"expired": s2s.NewToken("canary", time.Now().Add(-time.Second)),
	} {
		cache := newCache(t, fixed(token), s2s.CacheOptions{})
		if _, err := cache.Token(t.Context(), "a"); err == nil || !strings.Contains(err.Error(), name) || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

type fixed s2s.Token

func (f fixed) Token(context.Context, string) (s2s.Token, error) { return s2s.Token(f), nil }

func TestNothingPrintsAToken(t *testing.T) {
	token := s2s.NewToken("canary", time.Now().Add(time.Hour))
	nested := struct{ token s2s.Token }{token} // fmt calls no method of an unexported field
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&out, verb+verb+verb, token, &token, nested)
	}
	for _, handler := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
		slog.New(handler).Info("token", "token", token, "pointer", &token, "nested", nested)
	}
	text, err := json.Marshal(token)
	if err != nil {
		t.Fatal(err)
	}
	out.Write(text)
	if strings.Contains(out.String(), "canary") || strings.Contains(out.String(), fmt.Sprintf("%x", "canary")) {
		t.Errorf("printed: %s", out.String())
	}
	if !strings.Contains(out.String(), "[token until ") {
		t.Errorf("nothing was printed at all: %s", out.String())
	}
}

func TestACallWithATokenInMemoryAllocatesNothing(t *testing.T) {
	cache := newCache(t, &source{life: time.Hour}, s2s.CacheOptions{})
	wantToken(t, cache, "token-1")
	ctx := t.Context()
	if n := testing.AllocsPerRun(1000, func() { _, _ = cache.Token(ctx, "payments") }); n != 0 {
		t.Errorf("%v allocations a call", n)
	}
}

func TestTheLogTellsOfAnOutageAndItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		src := &source{life: time.Minute, down: errors.New("down")}
		cache := newCache(t, src, s2s.CacheOptions{Logger: slog.New(slog.NewTextHandler(&out, nil))})
		_, _ = cache.Token(t.Context(), "payments")
		src.fail(nil)
		time.Sleep(3 * time.Second)
		wantToken(t, cache, "token-2")
		for _, want := range []string{"level=WARN", "audience=payments", "level=INFO", "failures=1"} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("the log lacks %s:\n%s", want, out.String())
			}
		}
		if strings.Contains(out.String(), "token-2") {
			t.Errorf("the log holds a token:\n%s", out.String())
		}
	})
}

func TestManyAtOnceGetTokensThatHaveNotExpired(t *testing.T) {
	src := &source{life: 40 * time.Millisecond, delay: time.Millisecond}
	cache := newCache(t, src, s2s.CacheOptions{})
	var all sync.WaitGroup
	for n := range 20 {
		all.Go(func() {
			for end := time.Now().Add(500 * time.Millisecond); time.Now().Before(end); {
				token, err := cache.Token(t.Context(), fmt.Sprint(n%3))
				if err != nil || token.Reveal() == "" {
					t.Errorf("%v, %v", token, err)
					return
				}
				if n == 0 {
					cache.Drop("0", token)
				}
			}
		})
	}
	all.Wait()
	if n := src.asked(); n < 3*5 || n > 3*40 {
		t.Errorf("three audiences were asked for %d times in half a second, with tokens that are replaced after some 27 ms", n)
	}
}

func TestACacheNeedsASource(t *testing.T) {
	if _, err := s2s.NewCache(nil, s2s.CacheOptions{}); err == nil {
		t.Error("a cache of nothing")
	}
	if _, err := s2s.NewCache(&source{}, s2s.CacheOptions{Timeout: -1}); err == nil {
		t.Error("a negative timeout")
	}
}

// hurried mints tokens that are over in a second, of which the source says that it has a newer one already.
type hurried struct{ source }

func (h *hurried) Token(ctx context.Context, audience string) (s2s.Token, error) {
	token, err := h.source.Token(ctx, audience)
	token.Refresh = time.Now()
	return token, err
}

func TestACacheNeverReturnsAnEmptyTokenWithoutAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cache := newCache(t, &hurried{source{life: time.Second}}, s2s.CacheOptions{})
		wantToken(t, cache, "token-1")
		time.Sleep(900 * time.Millisecond)
		wantToken(t, cache, "token-2")
	})
}
