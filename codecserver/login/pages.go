package login

import (
	_ "embed"
	"errors"
	"net/http"
	"time"

	"github.com/signet-temporal/signet/codecserver/internal/page"
)

//go:embed login.html
var content string

// view is what the page shows: who is logged in, or what went wrong, or neither.
type view struct {
	Name, Subject, Issuer string
	Start                 string // address; with its host, since the callback comes to that one
	Until                 time.Time
	UIs                   []string
	Problem               string
}

var loginPage = page.New("Log in", content, "")

// welcome says who is logged in.
func (l *Login) welcome(w http.ResponseWriter, r *http.Request) {
	v := view{Issuer: l.o.Issuer, Start: l.o.URL + pathStart, UIs: l.o.Origins}
	s, err := l.session(r)
	var no *Error
	switch {
	case err == nil:
		v.Name, v.Subject, v.Until = s.caller().Name(), s.Subject, time.Unix(s.Expires, 0).UTC()
	case errors.As(err, &no) && no.code == "sessions-unavailable":
		l.log.ErrorContext(r.Context(), "sessions do not count", "error", err)
		v.Problem = "Sessions do not count at the moment: this server cannot read which of them were ended. Its administrator finds the cause in its log."
	case errors.As(err, &no) && no.code == "expired-session":
		v.Problem = "Your session has expired. Log in again."
	case errors.As(err, &no) && no.code == "ended-session":
		v.Problem = "You have logged out. Log in again to go on."
	}
	loginPage.Write(w, http.StatusOK, v)
}

// failed says in a sentence what is wrong.
func (l *Login) failed(w http.ResponseWriter, status int, says string) {
	loginPage.Write(w, status, view{Issuer: l.o.Issuer, Start: l.o.URL + pathStart, Problem: says})
}
