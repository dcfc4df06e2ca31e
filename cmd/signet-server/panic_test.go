package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func panicking(v any, before func(http.ResponseWriter)) (*front, *bytes.Buffer) {
	log := new(bytes.Buffer)
	return &front{
		codec: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Request-Id", "r-4711")
			w.Header().Set("Access-Control-Allow-Origin", "https://ui")
			if before != nil {
				before(w)
			}
			panic(v)
		}),
		log: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelError})),
	}, log
}

func TestAPanicIsAnErrorInTheLogAndAnAnswer(t *testing.T) {
	for _, v := range []any{"PLAINTEXT-4711", errors.New("PLAINTEXT-4711")} {
		f, log := panicking(v, nil)
		rec := httptest.NewRecorder()
		f.ServeHTTP(rec, httptest.NewRequest(http.MethodPost, "/team/decode?q=PLAINTEXT-4711", nil))
		var got map[string]string
		if err := json.Unmarshal(rec.Body.Bytes(), &got); err != nil || rec.Code != http.StatusInternalServerError || got["error"] != "internal" || got["requestId"] != "r-4711" {
			t.Errorf("answer %d %s, %v", rec.Code, rec.Body, err)
		}
		if rec.Header().Get("Access-Control-Allow-Origin") != "https://ui" || rec.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("headers %v", rec.Header())
		}
		if text := log.String(); !strings.Contains(text, "level=ERROR") || !strings.Contains(text, "r-4711") || !strings.Contains(text, "panicking") ||
			strings.Contains(text, "PLAINTEXT") || strings.Contains(text, "0x") {
			t.Errorf("log %s; want the request id and the place, and no values", text)
		}
	}
}

func TestAPanicOfARuntimeErrorSaysWhichOne(t *testing.T) {
	f, log := panicking(nil, func(w http.ResponseWriter) {
		w.Header()["Empty"] = nil
		_ = w.Header()["Empty"][0]
	})
	f.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/decode", nil))
	if !strings.Contains(log.String(), "kind=runtime.") || !strings.Contains(log.String(), "panicking") {
		t.Errorf("log %s", log)
	}
}

func TestAnAnswerThatHasBegunIsCutOffByAPanic(t *testing.T) {
	f, log := panicking("x", func(w http.ResponseWriter) {
		w.WriteHeader(http.StatusOK)
		_, _ = io.WriteString(w, `{"payloads":[`)
		_ = http.NewResponseController(w).Flush()
	})
	ended := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(ended)
		f.ServeHTTP(w, r)
	}))
	defer server.Close()
	resp, err := http.Post(server.URL+"/decode", "application/json", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if text, err := io.ReadAll(resp.Body); err == nil {
		t.Errorf("the answer %q looks whole", text)
	}
	<-ended
	if !strings.Contains(log.String(), "r-4711") {
		t.Errorf("log %s", log)
	}
}

func TestAnAbortStaysAnAbort(t *testing.T) {
	f, log := panicking(http.ErrAbortHandler, nil)
	defer func() {
		if got := recover(); got != http.ErrAbortHandler || log.Len() != 0 {
			t.Errorf("recovered %v, log %s; want %v and silence", got, log, http.ErrAbortHandler)
		}
	}()
	f.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/decode", nil))
}
