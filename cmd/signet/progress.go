package main

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// waiting tells a person at the terminal what signet waits for, once that takes longer than a second. Call the result
// when it is over, before anything else is printed.
func (a *app) waiting(what string) (done func()) {
	if !isTerminal(a.stderr) {
		return func() {}
	}
	return showWaiting(a.stderr, what)
}

func showWaiting(w io.Writer, what string) (done func()) {
	start := time.Now()
	return show(w, func() string { return fmt.Sprintf("%s … %s", what, time.Since(start).Round(time.Second)) })
}

// progress is [app.waiting] with a text that changes.
func (a *app) progress(text func() string) (done func()) {
	if !isTerminal(a.stderr) {
		return func() {}
	}
	return show(a.stderr, text)
}

func show(w io.Writer, text func() string) (done func()) {
	stop := make(chan struct{})
	var over sync.WaitGroup
	over.Go(func() {
		ticker := time.NewTicker(time.Second)
		defer ticker.Stop()
		for shown := false; ; shown = true {
			select {
			case <-stop:
				if shown {
					fmt.Fprint(w, "\r\x1b[K")
				}
				return
			case <-ticker.C:
				fmt.Fprint(w, "\r\x1b[K"+text())
			}
		}
	})
	return sync.OnceFunc(func() { close(stop); over.Wait() })
}
