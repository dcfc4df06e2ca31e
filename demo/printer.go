package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/term"
)

// printer writes to people: with colours on a terminal, without elsewhere.
type printer struct {
	w                io.Writer
	terminal, colour bool
}

func newPrinter(f *os.File) *printer {
	terminal := term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb"
	return &printer{f, terminal, terminal && os.Getenv("NO_COLOR") == ""}
}

func (p *printer) paint(code, text string) string {
	if !p.colour {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (p *printer) bold(text string) string   { return p.paint("1", text) }
func (p *printer) dim(text string) string    { return p.paint("2", text) }
func (p *printer) red(text string) string    { return p.paint("31", text) }
func (p *printer) green(text string) string  { return p.paint("32", text) }
func (p *printer) yellow(text string) string { return p.paint("33", text) }

func (p *printer) title(text string) { fmt.Fprintf(p.w, "\n%s\n\n", p.bold("── "+text)) }

// step does something that may take long: it says what while that goes on, and at the end what came of it.
func (p *printer) step(what string, do func() (string, error)) error {
	began, done := time.Now(), make(chan struct{})
	var ticking sync.WaitGroup
	ticking.Go(func() { p.tick(what, began, done) })
	did, err := do()
	close(done)
	ticking.Wait()
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	fmt.Fprintf(p.w, "  %-24s %s %s\n", what, did, p.dim("("+tenths(began)+")"))
	return nil
}

// tick shows that something goes on until done: each second on a terminal, as a line every ten seconds elsewhere.
func (p *printer) tick(what string, began time.Time, done <-chan struct{}) {
	interval, format := 10*time.Second, "  %-24s … %s\n"
	if p.terminal {
		interval, format = time.Second, "\r  %-24s … %s"
		fmt.Fprintf(p.w, "  %-24s …", what)
		defer fmt.Fprint(p.w, "\r\x1b[K")
	}
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			fmt.Fprintf(p.w, format, what, tenths(began))
		case <-done:
			return
		}
	}
}

func tenths(began time.Time) string {
	d := time.Since(began)
	if d >= time.Minute {
		return d.Round(time.Second).String()
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}

// line prints a label and a text beside it.
func (p *printer) line(label, text string) { fmt.Fprintf(p.w, "  %-10s %s\n", label, text) }
