package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"go.temporal.io/sdk/client"

	"github.com/signet-temporal/signet/principal/verify"
	"github.com/signet-temporal/signet/tools/parts"
)

const deskAudience = "front-desk"

// desk is the clinic's API: whoever is logged in may admit a patient. The edge in front of it verifies the caller's token
// and puts for whom the request is made into its context, from where the plugin takes it along. The handler sees no token.
func desk(v *verify.Verifier, c client.Client) (http.Handler, error) {
	edge, err := verify.NewEdge(v, verify.EdgeOptions{})
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /intakes", func(w http.ResponseWriter, r *http.Request) {
		var p Patient
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<16)).Decode(&p); err != nil {
			http.Error(w, "a patient is a JSON object", http.StatusBadRequest)
			return
		}
		runID, err := intake(r.Context(), c, p)
		if err != nil {
			http.Error(w, "the intake failed", http.StatusBadGateway)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]string{"run": runID}) // the caller is gone
	})
	return edge.Handler(mux), nil
}

// serve answers https requests on a free port until the demo ends, and returns the URL.
func (d *demo) serve(what string, handler http.Handler) (string, error) {
	certificate, err := tls.LoadX509KeyPair(d.cert.CertFile, d.cert.KeyFile)
	if err != nil {
		return "", err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second, TLSConfig: &tls.Config{Certificates: []tls.Certificate{certificate}}}
	go func() { _ = server.ServeTLS(l, "", "") }() // ends with Close
	d.onClose("stop "+what, server.Close)
	return "https://" + l.Addr().String(), nil
}

// admit logs alice in at the front desk and has her admit the patient.
func (d *demo) admit(ctx context.Context) (runID string, err error) {
	tokens, err := d.tokens(ctx, d.alice, deskAudience)
	if err != nil {
		return "", err
	}
	d.deskToken = tokens.Access
	body, err := json.Marshal(patient)
	if err != nil {
		return "", err
	}
	var answer struct{ Run string }
	err = d.post(ctx, d.deskURL+"/intakes", tokens.Access, body, &answer)
	return answer.Run, err
}

// post sends JSON with a bearer token, if there is one.
func (d *demo) post(ctx context.Context, url, token string, body []byte, answer any) error {
	client, err := parts.HTTPClient(d.cert.CAFile)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	said, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return &refused{res.StatusCode, fmt.Sprintf("%s answers %s: %s", url, res.Status, said)}
	}
	return json.Unmarshal(said, answer)
}

// refused is an answer that is not 200.
type refused struct {
	status int
	text   string
}

func (r *refused) Error() string { return r.text }
