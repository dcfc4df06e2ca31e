package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"sync"

	"golang.org/x/oauth2/clientcredentials"

	"github.com/signet-temporal/signet/principal"
	"github.com/signet-temporal/signet/principal/s2s"
	"github.com/signet-temporal/signet/principal/s2s/downstream"
	"github.com/signet-temporal/signet/principal/s2s/oauthtoken"
)

const (
	insurerAudience = "insurer"
	workerClientID  = "intake-worker"
	workerSecret    = "demo-worker"
	tenant          = "clinic-north" // of alice and bob, in their tokens
)

// insurer is a service that the activity calls. It believes the worker, whose service token it verifies, on whose behalf
// a call is made, for the one tenant for which the worker may speak.
type insurer struct {
	mu    sync.Mutex
	calls []call
}

// call is what the insurer knows of a request.
type call struct {
	by  principal.Caller
	who principal.Principal
}

func (i *insurer) handler(v downstream.Verifier, issuer string) (http.Handler, error) {
	gate, err := downstream.New(downstream.Options{
		Verifier:   v,
		Forwarders: []downstream.Forwarder{{Issuer: issuer, Subject: workerClientID, Tenants: []string{tenant}}},
	})
	if err != nil {
		return nil, err
	}
	return gate.Handler(http.HandlerFunc(i.answer)), nil
}

func (i *insurer) answer(w http.ResponseWriter, r *http.Request) {
	who, err := principal.FromContext(r.Context())
	if err != nil {
		http.Error(w, "on whose behalf?", http.StatusForbidden)
		return
	}
	by, _ := downstream.CallerFromContext(r.Context()) // the gate has put it there
	i.mu.Lock()
	i.calls = append(i.calls, call{by, who})
	i.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]string{"policy": policy}) // the caller is gone
}

// called returns the calls so far.
func (i *insurer) called() []call {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.calls
}

// insurerClient makes the activity's requests: with the worker's own token, and with headers that say for whom.
func (d *demo) insurerClient(base http.RoundTripper) (*http.Client, error) {
	source, err := oauthtoken.New(oauthtoken.Options{Config: clientcredentials.Config{
		ClientID: workerClientID, ClientSecret: workerSecret, TokenURL: d.issuer + "/oauth/token",
	}})
	if err != nil {
		return nil, err
	}
	tokens, err := s2s.NewCache(source, s2s.CacheOptions{})
	if err != nil {
		return nil, err
	}
	at, err := url.Parse(d.insurerURL)
	if err != nil {
		return nil, fmt.Errorf("the insurer's address: %w", err)
	}
	transport, err := s2s.NewTransport(s2s.Credentials{Tokens: tokens, Audience: insurerAudience},
		s2s.TransportOptions{Hosts: []string{at.Host}, Base: base})
	if err != nil {
		return nil, err
	}
	return &http.Client{Transport: transport}, nil
}
