package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"

	uiserver "github.com/temporalio/ui-server/v2/server"
	"github.com/temporalio/ui-server/v2/server/server_options"
)

func runUI(args []string, stdin io.Reader, stdout io.Writer) error {
	var configFile, assets string
	var port int
	var exitWithStdin bool
	fs := flag.NewFlagSet("ui", flag.ContinueOnError)
	fs.StringVar(&configFile, "config", "", "JSON `file` with the configuration, or - for standard input (required)")
	fs.StringVar(&assets, "ui-assets", "", "`folder` with another version's assets (default: those compiled in)")
	fs.IntVar(&port, "port", 0, "HTTP `port`, overrides the configuration; 0 and none there: a free one")
	fs.BoolVar(&exitWithStdin, "exit-with-stdin", false, "end when standard input is closed")
	if err := fs.Parse(args); err != nil {
		return err
	}
	if fs.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q: ui takes flags only", fs.Arg(0))
	}
	cfg, err := readUIConfig(configFile, stdin)
	if err != nil {
		return err
	}
	if port != 0 {
		cfg.Port = port
	}
	if assets != "" {
		cfg.Assets = assets
	}
	ctx, stop := lifetime(exitWithStdin, stdin)
	defer stop()
	return serveUI(ctx, cfg, stdout)
}

// readUIConfig reads one JSON document. What follows it on standard input is left for -exit-with-stdin.
func readUIConfig(file string, stdin io.Reader) (uiConfig, error) {
	var cfg uiConfig
	if file == "" {
		return cfg, errors.New("no configuration: give a file with -config")
	}
	in := stdin
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return cfg, fmt.Errorf("read UI configuration: %w", err)
		}
		defer f.Close()
		in = f
	}
	dec := json.NewDecoder(in)
	dec.DisallowUnknownFields()
	if err := dec.Decode(&cfg); err != nil {
		return cfg, fmt.Errorf("read UI configuration: %w", err)
	}
	return cfg, nil
}

func serveUI(ctx context.Context, cfg uiConfig, stdout io.Writer) error {
	if cfg.IP == "" {
		cfg.IP = "127.0.0.1"
	}
	port, err := claimPort(cfg.IP, cfg.Port)
	if err != nil {
		return err
	}
	cfg.Port = port
	if cfg.Assets != "" {
		if _, err := os.Stat(cfg.Assets + "/index.html"); err != nil {
			return fmt.Errorf("UI assets: give the folder that has index.html: %w", err)
		}
	}
	full, err := cfg.server()
	if err != nil {
		return err
	}
	srv := uiserver.NewServer(server_options.WithConfigProvider(full))
	failed := make(chan error, 1)
	go func() { failed <- srv.Start() }()
	defer srv.Stop()

	url := "http://" + net.JoinHostPort(cfg.IP, strconv.Itoa(port))
	if err := waitHTTP(ctx, url+"/healthz"); err != nil {
		return err
	}
	if err := ready(stdout, map[string]string{"ui": url}); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return nil
	case err := <-failed:
		return fmt.Errorf("UI server ended: %w", err)
	}
}

// waitHTTP returns when a GET of url answers 200.
func waitHTTP(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return fmt.Errorf("wait for %s: %w", url, err)
		}
		res, err := http.DefaultClient.Do(req)
		if err == nil {
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return nil
			}
			err = errors.New(res.Status)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w", url, err)
		case <-time.After(10 * time.Millisecond):
		}
	}
}
