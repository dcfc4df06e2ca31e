package login

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

func wantReason(t *testing.T, l *Login, r *http.Request, reason string) {
	t.Helper()
	caller, err := l.Authenticate(r)
	var no *Error
	if caller != nil || !errors.As(err, &no) || no.Reason() != reason {
		t.Errorf("Authenticate = %+v, %v; want %s", caller, err, reason)
	}
}

func TestASessionNamesTheSameCallerAsABearerTokenAtEveryReplica(t *testing.T) {
	w := newWorld(t)
	a, b := w.replica(t, nil), w.replica(t, nil)
	v := newVisitor(t)
	if a.Presented(v.asks(nil)) {
		t.Error("a session is presented before the login")
	}
	v.logIn(w.provider, a, b)
	bearer, _, err := a.o.Tokens.IDToken(t.Context(), w.idToken("n"))
	if err != nil {
		t.Fatal(err)
	}
	delete(bearer.Claims, "nonce")
	for name, l := range map[string]*Login{"a": a, "b": b} {
		r := v.asks(nil)
		caller, err := l.Authenticate(r)
		if err != nil || !l.Presented(r) {
			t.Fatalf("%s: %v", name, err)
		}
		for _, clock := range []string{"iat", "exp"} { // of two tokens
			bearer.Claims[clock], caller.Claims[clock] = nil, nil
		}
		if !reflect.DeepEqual(caller, bearer) {
			t.Errorf("%s: the session is %+v's, the token %+v's", name, caller, bearer)
		}
	}
	resp := v.do(b, "GET", "/login", nil)
	body, _ := io.ReadAll(resp.Body)
	if !strings.Contains(string(body), "ann@example.com") {
		t.Errorf("the page does not say who is logged in: %s", body)
	}
}

func TestASessionCountsOnlyAsJSONOfAnAllowedOrigin(t *testing.T) {
	w := newWorld(t)
	l, v := w.replica(t, nil), newVisitor(t)
	v.logIn(w.provider, l)
	for says, change := range map[string]func(*http.Request){
		"no origin":        func(r *http.Request) { r.Header.Del("Origin") },
		"another origin":   func(r *http.Request) { r.Header.Set("Origin", "http://localhost:8082") },
		"its own origin":   func(r *http.Request) { r.Header.Set("Origin", l.o.URL) },
		"the null origin":  func(r *http.Request) { r.Header.Set("Origin", "null") },
		"two origins":      func(r *http.Request) { r.Header.Add("Origin", ui) },
		"a form":           func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") },
		"no type":          func(r *http.Request) { r.Header.Del("Content-Type") },
		"JSON in disguise": func(r *http.Request) { r.Header.Set("Content-Type", "text/plain; application/json") },
	} {
		t.Run(says, func(t *testing.T) { wantReason(t, l, v.asks(change), "session-not-usable-here") })
	}
	if _, err := l.Authenticate(v.asks(func(r *http.Request) { r.Header.Set("Content-Type", "application/json; charset=utf-8") })); err != nil {
		t.Error(err)
	}
}

func TestALogoutEndsTheSessionAtEveryReplicaAndOverARestart(t *testing.T) {
	w := newWorld(t)
	a, b := w.replica(t, nil), w.replica(t, nil)
	v, other := newVisitor(t), newVisitor(t)
	v.logIn(w.provider, a)
	other.logIn(w.provider, a)
	stolen := newVisitor(t)
	stolen.cookies[sessionCookie] = v.cookies[sessionCookie]
	for says, origin := range map[string][]string{"none": nil, "the Web UI": {ui}, "null": {"null"}, "two": {a.o.URL, a.o.URL}} {
		if resp := v.do(a, "POST", pathLogout, http.Header{"Origin": origin}); resp.StatusCode != http.StatusForbidden || v.cookies[sessionCookie] == "" {
			t.Errorf("logout by origin %s: %s", says, resp.Status)
		}
	}
	if resp := v.do(a, "GET", pathLogout, http.Header{"Origin": {a.o.URL}}); resp.StatusCode != http.StatusNotFound {
		t.Errorf("logout by GET: %s", resp.Status)
	}
	if _, err := b.Authenticate(stolen.asks(nil)); err != nil {
		t.Fatal(err)
	}
	resp := v.do(a, "POST", pathLogout, http.Header{"Origin": {a.o.URL}})
	if resp.StatusCode != http.StatusSeeOther || v.cookies[sessionCookie] != "" {
		t.Fatalf("logout: %s", resp.Status)
	}
	for name, l := range map[string]*Login{"a": a, "b": b, "restarted": w.replica(t, nil)} {
		wantReason(t, l, stolen.asks(nil), "ended-session")
		if _, err := l.Authenticate(other.asks(nil)); err != nil {
			t.Errorf("%s: another session of the same person: %v", name, err)
		}
	}
}

func TestTheCookieIsForTheSameSiteUnlessOthersAreAllowed(t *testing.T) {
	w := newWorld(t)
	for allow, want := range map[bool]http.SameSite{false: http.SameSiteLaxMode, true: http.SameSiteNoneMode} {
		l, v := w.replica(t, func(o *Options) { o.AllowCrossSite = allow }), newVisitor(t)
		start := v.do(l, "GET", pathStart, nil)
		done := v.do(l, "GET", pathCallback+"?"+w.authorize(start.Header.Get("Location")).Encode(), nil)
		modes := map[string]http.SameSite{}
		for _, c := range append(start.Cookies(), done.Cookies()...) {
			if c.MaxAge == 0 {
				modes[c.Name] = c.SameSite
			}
		}
		if modes[sessionCookie] != want || modes[attemptCookie] != http.SameSiteLaxMode {
			t.Errorf("allowed %t: %v", allow, modes)
		}
	}
}

func TestASecondLoginEndsTheFirstSession(t *testing.T) {
	w := newWorld(t)
	l, v := w.replica(t, nil), newVisitor(t)
	v.logIn(w.provider, l)
	stolen := newVisitor(t)
	stolen.cookies[sessionCookie] = v.cookies[sessionCookie]
	v.logIn(w.provider, l)
	wantReason(t, l, stolen.asks(nil), "ended-session")
	if _, err := l.Authenticate(v.asks(nil)); err != nil {
		t.Error(err)
	}
}

func TestASessionEndsWithItsTokenOrEarlier(t *testing.T) {
	w := newWorld(t)
	for says, c := range map[string]struct {
		maxAge, token, want time.Duration
	}{
		"with the token":  {0, 10 * time.Minute, 10 * time.Minute},
		"with the option": {5 * time.Minute, 10 * time.Minute, 5 * time.Minute},
		"never later":     {time.Hour, 10 * time.Minute, 10 * time.Minute},
	} {
		t.Run(says, func(t *testing.T) {
			w.change = func(claims map[string]any) { claims["exp"] = time.Now().Add(c.token).Unix() }
			l, v := w.replica(t, func(o *Options) { o.MaxAge = c.maxAge }), newVisitor(t)
			v.logIn(w.provider, l)
			at := time.Now()
			l.now = func() time.Time { return at.Add(c.want - 5*time.Second) }
			if _, err := l.Authenticate(v.asks(nil)); err != nil {
				t.Errorf("before its end: %v", err)
			}
			l.now = func() time.Time { return at.Add(c.want + time.Second) }
			wantReason(t, l, v.asks(nil), "expired-session")
		})
	}
}

func TestACookieIsTakenOnlyForWhatItWasMadeFor(t *testing.T) {
	w := newWorld(t)
	l, v := w.replica(t, nil), newVisitor(t)
	resp := v.do(l, "GET", pathStart, nil)
	attempt := v.cookies[attemptCookie]
	v.do(l, "GET", pathCallback+"?"+w.authorize(resp.Header.Get("Location")).Encode(), nil)
	good := v.cookies[sessionCookie]
	for says, value := range map[string]string{
		"another kind": attempt, "empty": "", "changed": good[:len(good)-2] + strings.Map(func(r rune) rune {
			if r == 'A' {
				return 'B'
			}
			return 'A'
		}, good[len(good)-2:]), "cut": good[:len(good)/2], "long": good + strings.Repeat("A", 5000), "no base64": "%%%%",
	} {
		t.Run(says, func(t *testing.T) {
			wantReason(t, l, (&visitor{t, map[string]string{sessionCookie: value}}).asks(nil), "malformed-session")
		})
	}
	wantReason(t, l, v.asks(func(r *http.Request) { r.AddCookie(&http.Cookie{Name: sessionCookie, Value: good}) }), "malformed-session")
	for says, change := range map[string]func(*Options){
		"another server": func(o *Options) { o.URL = "http://localhost:9999" },
		"another client": func(o *Options) { o.ClientID = "other-client" },
		"another keyset": func(o *Options) { o.Keyset = "login/other" },
	} {
		t.Run(says, func(t *testing.T) { wantReason(t, w.replica(t, change), v.asks(nil), "malformed-session") })
	}
}

func TestWithoutTheDirectoryOfEndedSessionsNoSessionCounts(t *testing.T) {
	w := newWorld(t)
	l, v := w.replica(t, nil), newVisitor(t)
	v.logIn(w.provider, l)
	if err := os.Rename(filepath.Join(w.dir, marker), filepath.Join(w.dir, "gone")); err != nil { // as if it was not mounted
		t.Fatal(err)
	}
	wantReason(t, l, v.asks(nil), "sessions-unavailable")
	// Nor does a logout say that it was done.
	if resp := v.do(l, "POST", pathLogout, http.Header{"Origin": {l.o.URL}}); resp.StatusCode != http.StatusServiceUnavailable || v.cookies[sessionCookie] == "" {
		t.Errorf("logout: %s", resp.Status)
	}
	// Nor does a login begin, which would leave the session before it as it is.
	before := v.cookies[sessionCookie]
	start := v.do(l, "GET", pathStart, nil)
	resp := v.do(l, "GET", pathCallback+"?"+w.provider.authorize(start.Header.Get("Location")).Encode(), nil)
	if resp.StatusCode != http.StatusServiceUnavailable || v.cookies[sessionCookie] != before {
		t.Errorf("%s: a second session began, and the first has not ended", resp.Status)
	}
}

func TestEndedSessionsAreForgottenWhenTheyHaveExpired(t *testing.T) {
	e, err := openEnded(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	for id, at := range map[string]time.Time{"LONGAGO": now.Add(-2 * time.Hour), "NEW": now.Add(time.Hour)} {
		if err := e.add(id, at, now); err != nil {
			t.Fatal(err)
		}
	}
	e.sweep(now.Add(2 * sweepEvery))
	for id, want := range map[string]bool{"LONGAGO": false, "NEW": true, "OTHER": false} {
		at := now.Add(time.Hour)
		if id == "LONGAGO" {
			at = now.Add(-2 * time.Hour)
		}
		if got, err := e.has(id, at); err != nil || got != want {
			t.Errorf("%s is ended: %v, %v; want %v", id, got, err, want)
		}
	}
}

func TestACallbackCountsOnceAndOnlyInTheBrowserThatBegan(t *testing.T) {
	w := newWorld(t)
	l := w.replica(t, nil)
	begin := func(v *visitor) url.Values {
		return w.authorize(v.do(l, "GET", pathStart, nil).Header.Get("Location"))
	}
	refused := func(t *testing.T, v *visitor, q url.Values) {
		t.Helper()
		resp := v.do(l, "GET", pathCallback+"?"+q.Encode(), nil)
		if resp.StatusCode != http.StatusBadRequest || v.cookies[sessionCookie] != "" || resp.Header.Get("Location") != "" {
			t.Errorf("callback: %s, session %q", resp.Status, v.cookies[sessionCookie])
		}
	}
	t.Run("another browser's", func(t *testing.T) { // login CSRF: the attacker's answer in the victim's browser
		attacker, victim := newVisitor(t), newVisitor(t)
		q := begin(attacker)
		refused(t, victim, q)
		begin(victim)
		refused(t, victim, q)
	})
	for says, change := range map[string]func(url.Values){
		"another state":  func(q url.Values) { q.Set("state", "x") },
		"no state":       func(q url.Values) { q.Del("state") },
		"two states":     func(q url.Values) { q.Add("state", q.Get("state")) },
		"no code":        func(q url.Values) { q.Del("code") },
		"an unknown one": func(q url.Values) { q.Set("code", "x") },
		"another issuer": func(q url.Values) { q.Set("iss", "https://evil.example") },
		"an error":       func(q url.Values) { q.Set("error", "access_denied") },
	} {
		t.Run(says, func(t *testing.T) {
			v := newVisitor(t)
			q := begin(v)
			change(q)
			refused(t, v, q)
		})
	}
	t.Run("twice", func(t *testing.T) {
		v := newVisitor(t)
		q := begin(v)
		kept := v.cookies[attemptCookie]
		v.do(l, "GET", pathCallback+"?"+q.Encode(), nil)
		replay := newVisitor(t)
		replay.cookies[attemptCookie] = kept
		refused(t, replay, q)
	})
	t.Run("too late", func(t *testing.T) {
		v := newVisitor(t)
		q := begin(v)
		late := w.replica(t, nil)
		late.now = func() time.Time { return time.Now().Add(patience + time.Second) }
		if resp := v.do(late, "GET", pathCallback+"?"+q.Encode(), nil); resp.StatusCode != http.StatusBadRequest {
			t.Errorf("callback: %s", resp.Status)
		}
	})
}

func TestAnIDTokenThatDoesNotFitBeginsNothing(t *testing.T) {
	w := newWorld(t)
	l := w.replica(t, nil)
	for says, change := range map[string]func(map[string]any){
		"another nonce":                    func(c map[string]any) { c["nonce"] = "x" },
		"no nonce":                         func(c map[string]any) { delete(c, "nonce") },
		"another client's":                 func(c map[string]any) { c["aud"] = "other-client" },
		"another party":                    func(c map[string]any) { c["azp"] = "other-client" },
		"two audiences and no party":       func(c map[string]any) { c["aud"] = []string{clientID, "x"} },
		"an audience that nobody knows":    func(c map[string]any) { c["aud"] = "x" },
		"expired":                          func(c map[string]any) { c["exp"] = time.Now().Add(-time.Minute).Unix() },
		"expired, within the clocks' slip": func(c map[string]any) { c["exp"] = time.Now().Add(-5 * time.Second).Unix() },
		"no expiry":                        func(c map[string]any) { delete(c, "exp") },
		"nobody's":                         func(c map[string]any) { delete(c, "sub") },
		"another issuer's":                 func(c map[string]any) { c["iss"] = "https://evil.example" },
	} {
		t.Run(says, func(t *testing.T) {
			w.change = change
			v := newVisitor(t)
			q := w.authorize(v.do(l, "GET", pathStart, nil).Header.Get("Location"))
			if resp := v.do(l, "GET", pathCallback+"?"+q.Encode(), nil); resp.StatusCode != http.StatusBadRequest || v.cookies[sessionCookie] != "" {
				t.Errorf("callback: %s", resp.Status)
			}
		})
	}
	w.change = func(c map[string]any) { c["aud"], c["azp"] = []string{clientID, "x"}, clientID }
	newVisitor(t).logIn(w.provider, l)
}
