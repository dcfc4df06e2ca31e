package forward

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"
)

// Of RFC 5424: the facility "log audit", and severities.
const (
	facility      = 13
	warning       = 4
	notice        = 5
	informational = 6
)

// frame appends a record's line as one counted message. What was refused is a notice, and an emergency a warning.
func frame(dst []byte, host string, line []byte) []byte {
	var r struct {
		Time       time.Time `json:"time"`
		Action     string    `json:"action"`
		Decision   string    `json:"decision"`
		BreakGlass string    `json:"breakGlass"`
	}
	_ = json.Unmarshal(line, &r) // it is a record; what it lacks is a dash
	severity := informational
	switch {
	case r.BreakGlass != "":
		severity = warning
	case r.Decision != "allow":
		severity = notice
	}
	at := "-"
	if !r.Time.IsZero() {
		at = r.Time.UTC().Format("2006-01-02T15:04:05.000000Z")
	}
	head := "<" + strconv.Itoa(facility*8+severity) + ">1 " + at + " " + host + " signet-server - " + field(r.Action, 32) + " - "
	dst = strconv.AppendInt(dst, int64(len(head)+len(line)), 10)
	dst = append(append(dst, ' '), head...)
	return append(dst, line...)
}

// field keeps what the header of a message may hold.
func field(s string, most int) string {
	s = strings.Map(func(r rune) rune {
		if r < '!' || r > '~' {
			return -1
		}
		return r
	}, s)
	if s == "" {
		return "-"
	}
	return s[:min(len(s), most)]
}
