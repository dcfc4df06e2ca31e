// Package page writes the few HTML pages of the codec server. A page is one answer: its style and script are in it, by
// hashes that its Content-Security-Policy names, and nothing else is loaded, framed or run.
package page

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html/template"
	"net/http"
)

//go:embed page.html
var frame string

//go:embed page.css
var style string

// Page is a kind of page. It is safe for concurrent use.
type Page struct {
	template *template.Template
	policy   string
	title    string
	script   template.JS
}

// New makes a page whose content is an html/template. The script may be empty; with one, the page may ask this server.
func New(title, content, script string) *Page {
	t := template.Must(template.New("page").Parse(frame))
	template.Must(t.New("content").Parse(content))
	policy := "default-src 'none'; style-src '" + hash(style) + "'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
	if script != "" {
		policy += "; script-src '" + hash(script) + "'; connect-src 'self'"
	}
	return &Page{t, policy, title, template.JS(script)} // #nosec: ours, and in the binary
}

func hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

// Write answers with the page.
func (p *Page) Write(w http.ResponseWriter, status int, data any) {
	var body bytes.Buffer
	err := p.template.Execute(&body, struct {
		Title  string
		Style  template.CSS
		Script template.JS
		Data   any
	}{p.title, template.CSS(style), p.script, data})
	if err != nil { // a mistake in a template, which the tests find
		http.Error(w, "internal", http.StatusInternalServerError)
		return
	}
	header := w.Header()
	header.Set("Content-Type", "text/html; charset=utf-8")
	header.Set("Content-Security-Policy", p.policy)
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Cross-Origin-Opener-Policy", "same-origin")
	header.Set("Cross-Origin-Resource-Policy", "same-origin")
	// Not no-referrer: browsers then send the forms of the page with "Origin: null".
	header.Set("Referrer-Policy", "same-origin")
	w.WriteHeader(status)
	_, _ = w.Write(body.Bytes()) // the client has gone: nobody is left to tell
}
