// Demo shows Signet at work with real programs, started by one command: a Temporal server with its Web UI, an OpenID
// provider with two users, a key store (a directory, or with --vault a HashiCorp Vault), signet-server, and a worker
// that admits a patient. It prints what Temporal stores beside what each user sees, and stays up until Ctrl-C.
//
//	cd demo && go run .            # or: make demo
//	cd demo && go run . --once     # check that nothing was stored in clear, and exit
//
// Read workflow.go first: its function connect is what an application adds to be sealed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	go stopWithParent(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// stopWithParent stops the demo when the "go run" that started it is gone: a SIGTERM to that does not arrive here. Once
// the demo is stopping, it gives Ctrl-C its usual meaning back, for those who cannot wait.
func stopWithParent(ctx context.Context, stop func()) {
	parent := os.Getppid()
	for ctx.Err() == nil && os.Getppid() == parent {
		time.Sleep(500 * time.Millisecond)
	}
	stop()
}

// run is the whole program but for the exit: 0 when all went well, 1 with one line on stderr when not, 2 for bad flags.
func run(ctx context.Context, args []string, stdout, stderr *os.File) int {
	o, err := parseFlags(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		return 2 // the flags have said why
	}
	d := &demo{options: o, out: newPrinter(stdout), progress: stderr}
	err = d.play(ctx)
	if ctx.Err() != nil {
		fmt.Fprintln(stdout, "\nstopping …")
		if err != nil { // whatever a half-stopped demo complains of
			err = errors.New("stopped before it was complete")
		}
	}
	if err = errors.Join(err, d.close()); err != nil {
		fmt.Fprintln(stderr, "demo: "+strings.Join(strings.Fields(err.Error()), " "))
		return 1
	}
	return 0
}

// play starts everything, runs the workflow and shows what came of it.
func (d *demo) play(ctx context.Context) error {
	if err := d.start(ctx); err != nil {
		return err
	}
	if err := d.show(ctx); err != nil {
		return fmt.Errorf("show what was stored: %w", err)
	}
	if d.options.once {
		return d.check(ctx)
	}
	d.invite()
	return d.stay(ctx)
}
