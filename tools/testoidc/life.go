package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os/signal"
	"syscall"
)

// lifetime returns a context that ends when the process is asked to end: by a signal or, if withStdin,
// by the end of stdin, which comes even when the parent was killed.
func lifetime(withStdin bool, stdin io.Reader) (context.Context, context.CancelFunc) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	if !withStdin {
		return ctx, stop
	}
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		_, _ = io.Copy(io.Discard, stdin)
		cancel()
	}()
	return ctx, func() { cancel(); stop() }
}

// ready prints the one line that a parent process waits for.
func ready(w io.Writer, v map[string]string) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("write ready line: %w", err)
	}
	if _, err := fmt.Fprintf(w, "ready %s\n", b); err != nil {
		return fmt.Errorf("write ready line: %w", err)
	}
	return nil
}
