package main

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/signet-temporal/signet/codecserver/audit"
)

// TestSlowClientsKeepNobodyOut: 500 connections that send a header byte by byte, as slowloris does, are cut off after
// readHeaderTimeout, and others are served all the while, over HTTP/2.
func TestSlowClientsKeepNobodyOut(t *testing.T) {
	pair := httptest.NewUnstartedServer(nil)
	pair.EnableHTTP2 = true
	pair.StartTLS() // for its certificate
	certificate, client := pair.TLS.Certificates[0], pair.Client()
	pair.Close()

	b := &built{
		metrics: newMetrics(),
		config:  &loaded{config: config{Listen: "127.0.0.1:0"}, certificate: &certificate},
		audit:   audit.New(io.Discard),
		handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "decoded") }),
	}
	ctx, stop := context.WithCancel(t.Context())
	addr := make(chan string, 1)
	ended := make(chan error, 1)
	log := slog.New(slog.DiscardHandler)
	go func() {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err == nil {
			addr <- listener.Addr().String()
			err = serveOn(ctx, listener, newLive("", b, log), log)
		}
		ended <- err
	}()
	where := <-addr
	defer func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()

	var open atomic.Int64
	var slow sync.WaitGroup
	for range 500 {
		conn, err := tls.Dial("tcp", where, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}}) // #nosec G402 -- an attacker does not care
		if err != nil {
			t.Fatal(err)
		}
		open.Add(1)
		slow.Go(func() {
			connected := time.Now()
			defer func() {
				if took := time.Since(connected); took > 3*readHeaderTimeout {
					t.Errorf("a slow connection lived for %v", took)
				}
			}()
			defer open.Add(-1)
			defer conn.Close()
			if _, err := io.WriteString(conn, "POST /decode HTTP/1.1\r\nHost: codec\r\nX-Slow: "); err != nil {
				return
			}
			for {
				if _, err := io.WriteString(conn, "x"); err != nil {
					return
				}
				_ = conn.SetReadDeadline(time.Now().Add(500 * time.Millisecond))
				if _, err := conn.Read(make([]byte, 1)); !isTimeout(err) {
					return // the server has hung up
				}
			}
		})
	}
	for range 20 {
		asked := time.Now()
		resp, err := client.Post("https://"+where+"/decode", "application/json", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if took := time.Since(asked); resp.ProtoMajor != 2 || resp.StatusCode != http.StatusOK || took > 2*time.Second {
			t.Errorf("HTTP/%d, status %d after %v with %d slow connections", resp.ProtoMajor, resp.StatusCode, took, open.Load())
		}
	}
	if open.Load() == 0 {
		t.Error("no slow connection is left: they were not slow")
	}
	slow.Wait()
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}
