package main

import (
	"fmt"
	"net/http"
	"runtime"
)

// serveCodec makes a panic an answer that a browser can read, and an error in the log: net/http would cut the
// connection and log it where nobody looks. The log gets the request id, the kind of the panic and the places in the
// code; the panic's value may hold what the request held. An answer that has begun is cut off, lest it looks whole.
func (f *front) serveCodec(w http.ResponseWriter, r *http.Request) {
	watched := &watchedWriter{ResponseWriter: w}
	defer func() {
		v := recover()
		if v == nil {
			return
		}
		if v == http.ErrAbortHandler {
			panic(v)
		}
		id := w.Header().Get("X-Request-Id")
		f.log.ErrorContext(r.Context(), "panic", "request", id, "kind", fmt.Sprintf("%T", v), "at", places())
		if watched.status != 0 {
			panic(http.ErrAbortHandler)
		}
		writeJSON(w, http.StatusInternalServerError, map[string]string{"error": "internal", "requestId": id})
	}()
	f.codec.ServeHTTP(watched, r)
}

// places lists the functions and lines that led to the panic which is being recovered, innermost first: a stack trace
// without the arguments.
func places() []string {
	var pcs [32]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs[:])]) // without Callers, places and the deferred function
	var at []string
	for {
		frame, more := frames.Next()
		at = append(at, fmt.Sprintf("%s:%d", frame.Function, frame.Line))
		if !more {
			return at
		}
	}
}

// watchedWriter knows whether the answer has begun, and with which status.
type watchedWriter struct {
	http.ResponseWriter
	status int // 0 until it has begun
}

func (w *watchedWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

func (w *watchedWriter) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(p)
}

// Unwrap is for [http.ResponseController].
func (w *watchedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
