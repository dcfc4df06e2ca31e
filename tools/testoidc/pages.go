package main

import (
	"context"
	"html/template"
	"net/http"

	"github.com/zitadel/oidc/v3/pkg/op"
)

// pages are the login form and the form of the device flow. Their element ids username, password, login
// and error are promised to browser tests.
type pages struct {
	store    *storage
	callback func(ctx context.Context, id string) string
	issuer   *op.IssuerInterceptor
}

// form is what a page shows.
type form struct {
	Title, Error string
	Field, Value string // what the login is for: the request's id or the device's user code
	Typed        bool   // whether people type that value themselves
}

func (p pages) register(mux *http.ServeMux) {
	mux.HandleFunc("GET "+loginPath, func(w http.ResponseWriter, r *http.Request) {
		show(w, http.StatusOK, form{Title: "Sign in", Field: "id", Value: r.FormValue("id")})
	})
	mux.HandleFunc("POST "+loginPath, p.issuer.HandlerFunc(p.login))
	mux.HandleFunc("GET "+devicePath, func(w http.ResponseWriter, r *http.Request) {
		show(w, http.StatusOK, form{Title: "Sign in on a device", Field: "user_code", Value: r.FormValue("user_code"), Typed: true})
	})
	mux.HandleFunc("POST "+devicePath, p.device)
}

func (p pages) login(w http.ResponseWriter, r *http.Request) {
	id := r.FormValue("id")
	if err := p.store.logIn(id, r.FormValue("username"), r.FormValue("password")); err != nil {
		show(w, http.StatusUnauthorized, form{Title: "Sign in", Field: "id", Value: id, Error: err.Error()})
		return
	}
	http.Redirect(w, r, p.callback(r.Context(), id), http.StatusFound)
}

func (p pages) device(w http.ResponseWriter, r *http.Request) {
	code := r.FormValue("user_code")
	if err := p.store.approveDevice(code, r.FormValue("username"), r.FormValue("password")); err != nil {
		show(w, http.StatusUnauthorized, form{
			Title: "Sign in on a device", Field: "user_code", Value: code, Typed: true, Error: err.Error(),
		})
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte("You are signed in on the device.\n"))
}

func show(w http.ResponseWriter, status int, f form) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	// The status is sent: an error here is the browser's broken connection.
	_ = page().Execute(w, f)
}

func page() *template.Template {
	return template.Must(template.New("page").Parse(`<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>{{.Title}}</title>
<style>body{font:16px sans-serif;max-width:22em;margin:4em auto}input,button{display:block;width:100%;margin:.5em 0;padding:.5em;box-sizing:border-box}#error{color:#b00}</style>
</head>
<body>
<h1>{{.Title}}</h1>
{{if .Error}}<p id="error">{{.Error}}</p>{{end}}
<form method="post">
{{if .Typed}}<label for="{{.Field}}">Code</label><input type="text" name="{{.Field}}" id="{{.Field}}" value="{{.Value}}">
{{else}}<input type="hidden" name="{{.Field}}" value="{{.Value}}">{{end}}
<label for="username">Username</label><input type="text" name="username" id="username" autocomplete="username" autofocus>
<label for="password">Password</label><input type="password" name="password" id="password" autocomplete="current-password">
<button type="submit" id="login">Sign in</button>
</form>
</body>
</html>
`))
}
