package codec_test

import (
	"flag"
	"strings"
	"testing"
	"time"

	"github.com/signet-temporal/signet/e2e/stack"
)

var (
	duration = flag.Duration("duration", 5*time.Second, "how long the server on one core is asked; docs/codec-server.md has the figures of a minute and of ten")
	rate     = flag.Int("rate", 0, "requests per second; 0: half of what the server did when it was asked as fast as it answers")
	profile  = flag.String("profile", "", "write a CPU profile of the server to this file")
)

// TestOneCoreUnderLoad: the server as it is released, on one core, with everything on (HTTPS with HTTP/2, tokens of a real
// provider, policy, audit log on disk), answers every request, has every answer on record and does not grow. What it costs
// and how long it takes is logged: on a machine that does other things the processor's time per request alone is true.
func TestOneCoreUnderLoad(t *testing.T) {
	s := startStack(t)
	server := s.Server(t, stack.ServerOptions{Released: true, Profiled: *profile != "", PayloadBurst: 1 << 30})
	l := newLoad(t, s, server,
		&work{user: "alice", payload: sealed(t, s, "payments", "order-4711", "4711 euros"), want: `"4711 euros"`},
		&work{user: "bob", payload: sealed(t, s, "orders", "order-12", "12 boxes"), want: `"12 boxes"`},
	)
	l.spend(t, "warm", time.Second, l.asFastAsPossible)
	small := l.rss(t)

	half, pace := *duration, *rate
	if pace == 0 {
		half /= 2
		floor := l.spend(t, "GET /healthz", half/4, l.healthAsFastAsPossible)
		end := func(string) {}
		if *profile != "" {
			end = server.Profile(t)
		}
		most := l.spend(t, "as fast as it answers", half, l.asFastAsPossible)
		if *profile != "" {
			end(*profile)
		}
		t.Logf("a decode costs %.1f times what an answer over HTTPS costs that does nothing", float64(most.cpuEach())/float64(floor.cpuEach()))
		pace = max(1, int(most.perSecond()/2))
	}
	l.spend(t, "at a steady rate", half, func(until time.Time) { l.steadily(until, pace) })

	if wrong := l.wrong(); wrong != "" || l.answered.Load() == 0 {
		t.Errorf("%d answers, and one is wrong: %s", l.answered.Load(), wrong)
	}
	if now := l.rss(t); now > small+64<<20 {
		t.Errorf("the server holds %d MiB, and held %d MiB when it had just begun", now>>20, small>>20)
	}
	if code := server.Stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if out, err := verifyAudit(t, server); err != nil || !strings.Contains(out, "the chain is whole") {
		t.Errorf("audit: %v: %s", err, out)
	}
	if records := allowed(t, server); records != l.answered.Load() {
		t.Errorf("%d answers, %d of them on record", l.answered.Load(), records)
	}
}

// TestALoadCountsWhatIsWrong: the load test fails when an answer is not the one that it asked for.
func TestALoadCountsWhatIsWrong(t *testing.T) {
	s := startStack(t)
	server := s.Server(t, stack.ServerOptions{Released: true})
	l := newLoad(t, s, server, &work{user: "bob", payload: sealed(t, s, "payments", "order-4711", "4711 euros"), want: `"4711 euros"`})
	l.steadily(time.Now().Add(100*time.Millisecond), 10)
	if wrong := l.wrong(); !strings.Contains(wrong, "403") || l.answered.Load() != 0 {
		t.Errorf("bob reads what is alice's: %d answers, wrong: %s", l.answered.Load(), wrong)
	}
}
