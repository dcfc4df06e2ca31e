package wire

import "time"

// Unscheduled cuts the suffix that the server's scheduler appends to a workflow id: "-" and a time in RFC 3339, UTC,
// whole seconds (spec §6.1; server service/worker/scheduler/workflow.go). An id without one is returned as it is.
func Unscheduled(id string) string {
	const suffix = len("-2006-01-02T15:04:05Z")
	at := len(id) - suffix
	if at <= 0 || id[at] != '-' {
		return id
	}
	if _, err := time.Parse("2006-01-02T15:04:05Z", id[at+1:]); err != nil {
		return id
	}
	return id[:at]
}
