package main

import (
	"flag"
	"fmt"
	"io"
	"net"
	"strconv"
)

// options is the command line.
type options struct {
	once, vault, keep    bool
	ui, frontend, server port
}

// port is where one program listens on 127.0.0.1.
type port struct {
	flag, what string
	number     int
	asked      bool      // by flag: then no other port will do
	held       io.Closer // keeps others from it until its program starts
}

// release lets the program have the port.
func (p *port) release() error {
	if p.held == nil {
		return nil
	}
	return p.held.Close()
}

func parseFlags(args []string, stderr io.Writer) (options, error) {
	o := options{
		ui:       port{flag: "ui-port", what: "the Web UI", number: 8080},
		frontend: port{flag: "frontend-port", what: "Temporal", number: 7233},
		server:   port{flag: "codec-port", what: "signet-server", number: 8081},
	}
	fs := flag.NewFlagSet("demo", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.BoolVar(&o.once, "once", false, "check that nothing was stored in clear and that the right people see what they may, then exit")
	fs.BoolVar(&o.vault, "vault", false, "keep the keys in a real HashiCorp Vault, not in a directory")
	fs.BoolVar(&o.keep, "keep", false, "keep the temporary directory: database, configuration, audit log, keys")
	for _, p := range o.ports() {
		fs.IntVar(&p.number, p.flag, p.number, "`port` of "+p.what+"; if this default is taken, the next free one")
	}
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	if fs.NArg() > 0 {
		err := fmt.Errorf("unexpected argument %q: the demo takes flags only", fs.Arg(0))
		fmt.Fprintln(stderr, "demo: "+err.Error())
		return o, err
	}
	fs.Visit(func(f *flag.Flag) {
		for _, p := range o.ports() {
			p.asked = p.asked || p.flag == f.Name
		}
	})
	return o, nil
}

func (o *options) ports() []*port { return []*port{&o.ui, &o.frontend, &o.server} }

// choosePorts makes every port one that is free, and holds it. hold returns nil for a port that is taken. The notes are a
// line for each default that was.
func (o *options) choosePorts(hold func(int) io.Closer) (notes []string, err error) {
	defaults := map[int]bool{}
	for _, p := range o.ports() { // so that none moves to another's
		defaults[p.number] = true
	}
	for _, p := range o.ports() {
		wanted := p.number
		for p.held = hold(wanted); p.held == nil && p.number < 65535; {
			if p.asked {
				return nil, fmt.Errorf("port %d is taken: choose another with --%s", wanted, p.flag)
			}
			if p.number++; !defaults[p.number] {
				p.held = hold(p.number)
			}
		}
		if p.number != wanted {
			notes = append(notes, fmt.Sprintf("port %d is taken: %s listens on %d (--%s chooses another)", wanted, p.what, p.number, p.flag))
		}
	}
	return notes, nil
}

// holdPort listens on the port, or returns nil when another program does.
func holdPort(number int) io.Closer {
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(number)))
	if err != nil {
		return nil
	}
	return l
}
