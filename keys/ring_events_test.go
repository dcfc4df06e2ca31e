package keys_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/signet-temporal/signet/keys"
	"github.com/signet-temporal/signet/keys/keystest"
)

var errAway = errors.New("the store is away")

// lines returns the lines of the ring's log that hold all of texts.
func (f *fixture) lines(texts ...string) (found []string) {
	f.Helper()
	synctest.Wait()
	for line := range strings.Lines(f.log.String()) {
		all := true
		for _, text := range texts {
			all = all && strings.Contains(line, text)
		}
		if all {
			found = append(found, line)
		}
	}
	return found
}

func (f *fixture) wantLines(n int, texts ...string) {
	f.Helper()
	if got := f.lines(texts...); len(got) != n {
		f.Errorf("the log has %d lines with %q, want %d:\n%s", len(got), texts, n, f.log)
	}
}

func TestOnRefreshReportsNowAndAfterEveryTry(t *testing.T) {
	inBubble(t, keys.RingOptions{}, func(f *fixture) {
		var mu sync.Mutex
		var reports []keys.KeysetStatus
		latest := func() (int, keys.KeysetStatus) {
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			return len(reports), reports[len(reports)-1]
		}
		begun := time.Now()
		f.ring.OnRefresh(func(s keys.KeysetStatus) {
			mu.Lock()
			defer mu.Unlock()
			reports = append(reports, s)
		})
		if n, s := latest(); n != 1 || s.Name != name || !s.Fresh.Equal(begun) || !s.Since.Equal(begun) || s.Keys != 1 {
			f.Fatalf("at once it reports %+v", s)
		}
		time.Sleep(70 * time.Second)
		n, s := latest()
		if n != 2 || !s.Fresh.After(begun) || s.Error != "" {
			f.Fatalf("after a refresh it has reported %d times, %+v", n, s)
		}
		fresh := s.Fresh
		f.store.SetError(errAway)
		time.Sleep(10 * time.Minute)
		if n, s = latest(); n < 12 || n > 30 || !s.Fresh.Equal(fresh) || !strings.Contains(s.Error, "away") || s.Keys != 1 {
			f.Errorf("in an outage of ten minutes it has reported %d times, %+v", n, s)
		}
		f.store.SetError(nil)
		f.add()
		id := f.promote()
		f.refresh()
		if _, s = latest(); !s.Fresh.Equal(time.Now()) || s.Error != "" || s.Primary != id || s.Keys != 2 || !s.Since.Equal(time.Now()) {
			f.Errorf("after an outage and a promotion it reports %+v", s)
		}
		_, _ = f.ring.Lookup(name, 7)
		if _, s = latest(); s.Waits != 1 {
			f.Errorf("after a wait for an unknown key it reports %+v", s)
		}
	})
}

func TestAKeyThatDoesNotOpenIsLoggedOnceForEachVersionOfItsKeyset(t *testing.T) {
	inBubble(t, keys.RingOptions{}, func(f *fixture) {
		disabled, destroyed := f.add(), f.add()
		f.change(func(k *keys.Keyset) {
			k.Key(disabled).State = keys.Disabled
			k.Key(destroyed).State, k.Key(destroyed).Wrapped = keys.Destroyed, nil
		})
		f.refresh()
		const text = "a payload needs a key that does not open here"
		ask := func() {
			for range 50 {
				for _, id := range []keys.ID{disabled, destroyed, 7} {
					if _, err := f.ring.Lookup(name, uint32(id)); err == nil {
						f.Fatalf("key %s opens", id)
					}
				}
				synctest.Wait()
			}
		}
		ask()
		f.wantLines(3, text)
		f.wantLines(1, text, "level=WARN", "keyset="+name, "key="+disabled.String(), "state=disabled")
		f.wantLines(1, text, "key="+destroyed.String(), "state=destroyed")
		f.wantLines(1, text, "key=00000007", "state=unknown")
		f.add() // another version: what was asked for may be there now, and is not
		f.refresh()
		ask()
		f.wantLines(6, text)

		if _, err := f.ring.Lookup(name, uint32(firstID(f))); err != nil {
			f.Fatal(err)
		}
		f.wantLines(6, text) // of a key that opens there is nothing to say
	})
}

func TestMadeUpKeyIDsFillNeitherLogNorMemory(t *testing.T) {
	inBubble(t, keys.RingOptions{}, func(f *fixture) {
		for id := range keys.ID(1000) {
			_, _ = f.ring.Lookup(name, uint32(id+1))
			synctest.Wait()
		}
		f.wantLines(100, "does not open here")
	})
}

func TestTheEndOfAnOutageIsLoggedOnce(t *testing.T) {
	inBubble(t, keys.RingOptions{}, func(f *fixture) {
		const text = "keyset refresh works again"
		time.Sleep(5 * time.Minute)
		f.wantLines(0, text)
		f.store.SetError(errAway)
		time.Sleep(3 * time.Minute)
		f.store.SetError(nil)
		time.Sleep(5 * time.Minute)
		f.wantLines(1, text)
		f.wantLines(1, text, "level=INFO", "keyset="+name, "failures=", "outage=")
	})
}

func TestAKeysetThatIsStaleIsLoggedOnceForEachOutage(t *testing.T) {
	inBubble(t, keys.RingOptions{}, func(f *fixture) { // a propagation delay of five minutes
		const text = "keyset is stale"
		for outage := range 2 {
			f.store.SetError(errAway)
			time.Sleep(4 * time.Minute)
			f.wantLines(outage, text)
			time.Sleep(20 * time.Minute)
			f.wantLines(outage+1, text, "level=ERROR", "keyset="+name, "fresh=")
			f.store.SetError(nil)
			time.Sleep(5 * time.Minute)
			f.wantLines(outage+1, text)
		}
	})
}

func TestAKeysetThatLosesItsPrimaryKeyIsLogged(t *testing.T) {
	inBubble(t, keys.RingOptions{}, func(f *fixture) {
		f.wantLines(0, "no primary key")
		f.change(func(k *keys.Keyset) { k.Primary().State = keys.Disabled })
		f.refresh()
		f.refresh()
		f.wantLines(1, "level=WARN", "no primary key", "keyset="+name)
	})
}

// heldKEK answers when nobody waits any more.
type heldKEK struct{ *keystest.KEK }

func (k heldKEK) DecryptWithContext(ctx context.Context, _, _ []byte) ([]byte, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestAKeysetWhoseLoadingWasCutShortIsNotSaidToLackAPrimary(t *testing.T) {
	store, kek, log := new(keystest.Store), keystest.NewKEK(t), &strings.Builder{}
	keystest.NewKeyset(t, store, kek, name, keys.XAES256GCM)
	// The one that does not exist ends the loading of both.
	_, err := keys.NewRing(t.Context(), store, heldKEK{kek}, keys.RingOptions{Keysets: []string{name, "ns/ghost"}, Logger: slog.New(slog.NewTextHandler(log, nil))})
	if !errors.Is(err, keys.ErrNotFound) {
		t.Errorf("got %v", err)
	}
	if strings.Contains(log.String(), name) {
		t.Errorf("the log speaks of a keyset that nothing is known of:\n%s", log)
	}
}
