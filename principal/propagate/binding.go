package propagate

import (
	"crypto/sha256"
	"encoding/binary"
)

// Kind is the sort of hop that a header is sealed for (spec §4.1).
type Kind byte

// The kinds of hops.
const (
	KindStart      Kind = 1 // a client starts a workflow
	KindSchedule   Kind = 2 // a schedule starts workflows
	KindActivity   Kind = 3 // a workflow runs an activity, local or not
	KindChild      Kind = 4 // a workflow starts a child
	KindContinued  Kind = 5 // a workflow continues as new
	KindMessage    Kind = 6 // a signal, update or query
	KindStandalone Kind = 7 // a client starts an activity that has no workflow
)

var kindNames = map[Kind]string{
	KindStart: "start", KindSchedule: "schedule", KindActivity: "activity", KindChild: "child",
	KindContinued: "continued", KindMessage: "message", KindStandalone: "standalone",
}

// String returns the kind's name, as metrics and logs have it.
func (k Kind) String() string {
	if name, ok := kindNames[k]; ok {
		return name
	}
	return "unknown"
}

// Place is where a sealed header belongs, as a hash: names may be long, and a header must not be.
type Place [16]byte

const placeDomain = "signet/principal/v1/place\x00"

// PlaceOf returns the place of a hop (spec §4.2). target is the id of the workflow or activity that the header is for, or
// of the workflow that issues it; name is a workflow type, an activity type or the name of a message.
func PlaceOf(kind Kind, target, name string) Place {
	in := make([]byte, 0, len(placeDomain)+1+4+len(target)+4+len(name))
	in = append(append(in, placeDomain...), byte(kind))
	in = appendSized(appendSized(in, target), name)
	sum := sha256.Sum256(in)
	return Place(sum[:16])
}

// appendSized appends the length of s as four bytes, big-endian, and s.
func appendSized(dst []byte, s string) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(s))) // #nosec G115 -- names of a few hundred bytes
	return append(dst, s...)
}
