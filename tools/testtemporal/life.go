package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os/signal"
	"strconv"
	"strings"
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

// claimPort returns port, or a free one when port is 0, after checking that it can be bound. The server
// libraries cannot take a listener, so a port can still be lost between this check and their bind.
func claimPort(ip string, port int) (int, error) {
	l, err := net.Listen("tcp", net.JoinHostPort(ip, strconv.Itoa(port)))
	if err != nil {
		return 0, fmt.Errorf("port %d on %s is taken: choose another with -port: %w", port, ip, err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// claimPorts returns n different free ports: all are held until the last one is found.
func claimPorts(ip string, n int) ([]int, error) {
	ports := make([]int, 0, n)
	for range n {
		l, err := net.Listen("tcp", net.JoinHostPort(ip, "0"))
		if err != nil {
			return nil, fmt.Errorf("find a free port on %s: %w", ip, err)
		}
		defer l.Close()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}

// list is a flag that may be repeated.
type list []string

func (l *list) String() string     { return strings.Join(*l, ",") }
func (l *list) Set(s string) error { *l = append(*l, s); return nil }
