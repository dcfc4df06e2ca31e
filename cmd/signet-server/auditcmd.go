package main

import (
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/signet-temporal/signet/codecserver/audit"
)

type auditCmd struct {
	Verify auditVerifyCmd `cmd:"" help:"Find what was removed, changed, moved or cut in an audit log."`
}

type auditVerifyCmd struct {
	Files []string `arg:"" name:"file" help:"The files of one log, in the order in which they were written: audit.jsonl.* audit.jsonl."`
	Head  []string `sep:"none" placeholder:"SEQ:HASH" help:"A record that was noted elsewhere, such as from the server's log, and must be in these files. May be given several times. Without one nobody can tell that the end is missing, or that all was written anew."`
}

// Run verifies.
func (c *auditVerifyCmd) Run(a *app) error {
	v := &audit.Verifier{}
	for _, text := range c.Head {
		head, err := parseHead(text)
		if err != nil {
			return err
		}
		v.Known = append(v.Known, head)
	}
	for _, name := range c.Files {
		if err := readChain(v, name); err != nil {
			return err
		}
	}
	whole := v.Finish()
	wrong := 0
	for _, f := range v.Findings {
		kind := "note: "
		if !f.Note {
			wrong++
			kind = ""
		}
		fmt.Fprintf(a.stdout, "%s:%d: %s%s\n", f.File, f.Line, kind, f.Text)
	}
	switch {
	case !whole:
		return fmt.Errorf("the audit log is not whole, see the %s: keep the files as they are and compare them with a copy", count(wrong, "finding"))
	case v.Records == 0:
		return errors.New("there is no record in these files: name the files that audit.file of the configuration leads to")
	}
	_, err := fmt.Fprintf(a.stdout, "the chain is whole: records %d to %d, head %d:%s\n", v.First.Seq, v.Head.Seq, v.Head.Seq, v.Head.Hash)
	return err
}

func readChain(v *audit.Verifier, name string) error {
	f, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("reading an audit log: %w: name a file that this user may read", err)
	}
	err = v.Read(name, f)
	return errors.Join(err, f.Close())
}

func parseHead(text string) (audit.Head, error) {
	number, hash, _ := strings.Cut(text, ":")
	seq, err := strconv.ParseUint(number, 10, 64)
	if raw, err2 := hex.DecodeString(hash); err != nil || seq == 0 || err2 != nil || len(raw) != 32 || strings.ToLower(hash) != hash {
		return audit.Head{}, fmt.Errorf("--head %q is not SEQ:HASH, the number of a record and its 64 hex digits", text)
	}
	return audit.Head{Seq: seq, Hash: hash}, nil
}
