package parts

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// TemporalOptions says which Temporal server to start.
type TemporalOptions struct {
	// Program is [Paths].Temporal. Required.
	Program string
	// DB is the SQLite file; it is created when missing, and its write-ahead log lies beside it. Required.
	DB string
	// Port of the frontend on 127.0.0.1; 0 for a free one.
	Port int
	// Namespaces are created where missing; "default" alone when there is none.
	Namespaces []string
	// Retention of the namespaces created; a day when 0.
	Retention time.Duration
	// Dynamic holds dynamic config: values are JSON, other text is a string.
	Dynamic map[string]string
}

// Temporal is a running Temporal server.
type Temporal struct {
	*Proc
	// Address of the frontend, as host:port.
	Address string
	// DB is the SQLite file.
	DB string
}

// StartTemporal starts a Temporal server and returns when workflows can be started in every namespace.
func StartTemporal(ctx context.Context, o TemporalOptions) (*Temporal, error) {
	if o.DB == "" {
		return nil, errors.New("start Temporal: set TemporalOptions.DB to a file")
	}
	port, err := portOr(o.Port)
	if err != nil {
		return nil, err
	}
	args := []string{"server", "-exit-with-stdin", "-db", o.DB, "-port", strconv.Itoa(port)}
	for _, ns := range o.Namespaces {
		args = append(args, "-namespace", ns)
	}
	if o.Retention != 0 {
		args = append(args, "-retention", o.Retention.String())
	}
	for key, value := range o.Dynamic {
		args = append(args, "-dynamic", key+"="+value)
	}
	p, err := startProc(ctx, spec{name: "Temporal", path: o.Program, args: args})
	if err != nil {
		return nil, err
	}
	return &Temporal{Proc: p, Address: fmt.Sprintf("%s:%d", loopback, port), DB: o.DB}, nil
}

// Files returns the files that hold what the server stored, those that exist: the database, its write-ahead
// log and the log's index. While the server runs, new rows are in the log; after Stop the database file
// alone is complete, after Kill it is not.
func (t *Temporal) Files() []string {
	var files []string
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if isFile(t.DB + suffix) {
			files = append(files, t.DB+suffix)
		}
	}
	return files
}
