package main

import (
	"database/sql"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"go.temporal.io/server/common/authorization"
	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/dynamicconfig"
	"go.temporal.io/server/common/log"
	"go.temporal.io/server/schema/sqlite"
	"go.temporal.io/server/temporal"
	"go.uber.org/zap"
	"google.golang.org/protobuf/types/known/durationpb"
)

// serverFlags is what the "server" command was asked to do.
type serverFlags struct {
	db            string
	ip            string
	port          int
	namespaces    list
	retention     time.Duration
	dynamic       list
	exitWithStdin bool
}

func parseServerFlags(args []string) (serverFlags, error) {
	var f serverFlags
	fs := flag.NewFlagSet("server", flag.ContinueOnError)
	fs.StringVar(&f.db, "db", "", "SQLite `file`, created when missing (required)")
	fs.StringVar(&f.ip, "ip", "127.0.0.1", "`address` to listen on")
	fs.IntVar(&f.port, "port", 0, "frontend gRPC `port`, 0 for a free one")
	fs.Var(&f.namespaces, "namespace", "namespace to create, may be repeated (default \"default\")")
	fs.DurationVar(&f.retention, "retention", 24*time.Hour, "retention of the namespaces created")
	fs.Var(&f.dynamic, "dynamic", "dynamic config `key=JSON value`, may be repeated")
	fs.BoolVar(&f.exitWithStdin, "exit-with-stdin", false, "end when standard input is closed")
	if err := fs.Parse(args); err != nil {
		return f, err
	}
	if f.db == "" {
		return f, errors.New("no database: give a file with -db")
	}
	if fs.NArg() > 0 {
		return f, fmt.Errorf("unexpected argument %q: server takes flags only", fs.Arg(0))
	}
	if len(f.namespaces) == 0 {
		f.namespaces = list{"default"}
	}
	return f, nil
}

func runServer(args []string, stdin io.Reader, stdout io.Writer) error {
	f, err := parseServerFlags(args)
	if err != nil {
		return err
	}
	ctx, stop := lifetime(f.exitWithStdin, stdin)
	defer stop()

	cfg, err := serverConfig(&f)
	if err != nil {
		return err
	}
	if err := prepareDatabase(f, cfg); err != nil {
		return err
	}
	level := zap.NewAtomicLevelAt(zap.ErrorLevel)
	srv, err := newServer(f, cfg, level)
	if err != nil {
		return err
	}
	if err := srv.Start(); err != nil {
		return fmt.Errorf("start Temporal server: %w", err)
	}
	address := net.JoinHostPort(f.ip, strconv.Itoa(f.port))
	err = waitUsable(ctx, address, f.namespaces)
	if err == nil {
		err = ready(stdout, map[string]string{"frontend": address})
	}
	if err == nil {
		<-ctx.Done()
	}
	// Services that end one after the other report each other as missing; that is no error of this stop.
	level.SetLevel(zap.FatalLevel)
	return errors.Join(err, srv.Stop(), checkpoint(f.db))
}

// checkpoint moves the write-ahead log into the database file, so that the file alone is complete.
func checkpoint(file string) error {
	db, err := sql.Open("sqlite", "file:"+file)
	if err != nil {
		return fmt.Errorf("complete the database file: %w", err)
	}
	defer db.Close()
	if _, err := db.Exec("PRAGMA wal_checkpoint(TRUNCATE)"); err != nil {
		return fmt.Errorf("complete the database file: %w", err)
	}
	return nil
}

// prepareDatabase creates the schema and the namespaces before the server starts, so that its namespace
// registry has them from its first read and nothing has to wait for a refresh.
func prepareDatabase(f serverFlags, cfg *config.Config) error {
	store := cfg.Persistence.DataStores[storeName].SQL
	if _, err := os.Stat(f.db); errors.Is(err, os.ErrNotExist) {
		if err := os.MkdirAll(filepath.Dir(f.db), 0o700); err != nil {
			return fmt.Errorf("create the database's folder: %w", err)
		}
		if err := sqlite.SetupSchema(store); err != nil {
			return fmt.Errorf("create the schema in %s: %w", f.db, err)
		}
	}
	var namespaces []*sqlite.NamespaceConfig
	for _, name := range f.namespaces {
		ns, err := sqlite.NewNamespaceConfig(clusterName, name, false, nil)
		if err != nil {
			return fmt.Errorf("describe namespace %q: %w", name, err)
		}
		ns.Detail.Config.Retention = durationpb.New(f.retention)
		namespaces = append(namespaces, ns)
	}
	if err := sqlite.CreateNamespaces(store, namespaces...); err != nil {
		return fmt.Errorf("create namespaces in %s: %w", f.db, err)
	}
	return nil
}

func newServer(f serverFlags, cfg *config.Config, level zap.AtomicLevel) (temporal.Server, error) {
	dynamic, err := dynamicValues(f.dynamic)
	if err != nil {
		return nil, err
	}
	logger, err := zap.Config{
		Level:             level,
		Encoding:          "console",
		EncoderConfig:     zap.NewProductionEncoderConfig(),
		OutputPaths:       []string{"stderr"},
		ErrorOutputPaths:  []string{"stderr"},
		DisableStacktrace: true,
	}.Build()
	if err != nil {
		return nil, fmt.Errorf("set up the log: %w", err)
	}
	srv, err := temporal.NewServer(
		temporal.WithConfig(cfg),
		temporal.ForServices(temporal.DefaultServices),
		temporal.WithStaticHosts(hosts(f, cfg)),
		temporal.WithLogger(log.NewZapLogger(logger)),
		temporal.WithAuthorizer(authorization.NewNoopAuthorizer()),
		temporal.WithClaimMapper(func(*config.Config) authorization.ClaimMapper {
			return authorization.NewNoopClaimMapper()
		}),
		temporal.WithDynamicConfigClient(dynamic),
	)
	if err != nil {
		return nil, fmt.Errorf("set up Temporal server: %w", err)
	}
	return srv, nil
}

// dynamicValues reads key=value pairs; a value that is not JSON is taken as a string.
func dynamicValues(pairs []string) (dynamicconfig.StaticClient, error) {
	values := dynamicconfig.StaticClient{}
	for _, pair := range pairs {
		key, text, ok := strings.Cut(pair, "=")
		if !ok || key == "" {
			return nil, fmt.Errorf("dynamic config %q: write it as key=value", pair)
		}
		var value any
		if err := json.Unmarshal([]byte(text), &value); err != nil {
			value = text
		}
		values[dynamicconfig.MakeKey(key)] = value
	}
	return values, nil
}
