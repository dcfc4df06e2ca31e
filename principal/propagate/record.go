package propagate

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/signet-temporal/signet/principal"
)

// Record is what a header holds once it is open: who, and for which hop.
type Record struct {
	Principal principal.Principal // times in whole seconds, UTC
	Kind      Kind
	Cron      bool      // the workflow was started with a cron schedule
	SealedAt  time.Time // whole seconds, UTC
	Place     Place
	Message   Place // of the signal or update that starts a workflow as well; zero: there is none
}

// The second byte of a record (spec §4).
const (
	flagCron     = 1 << iota // the workflow has a cron schedule
	flagService              // the principal is a service, not a user
	flagAuthTime             // there is an authentication time
	flagMessage              // there is a second place
	flagsKnown   = 1<<iota - 1
)

// maxSeconds bounds times, so that no sum of two overflows: the year 9999.
const maxSeconds = 253402300799

// append writes r (spec §4). It fails only on what [principal.Principal.Check] refuses, or on times before 1970.
func (r Record) append(dst []byte) ([]byte, error) {
	p := r.Principal
	if err := p.Check(); err != nil {
		return nil, err
	}
	var flags byte
	for flag, set := range map[byte]bool{flagCron: r.Cron, flagService: p.Kind == principal.KindService,
		flagAuthTime: !p.AuthTime.IsZero(), flagMessage: r.Message != Place{}} {
		if set {
			flags |= flag
		}
	}
	sealed := r.SealedAt.Unix()
	for _, t := range [...]time.Time{r.SealedAt, p.IssuedAt, p.AuthTime} {
		if seconds := t.Unix(); !t.IsZero() && (seconds < 0 || seconds > maxSeconds) {
			return nil, errors.New("a time is before 1970 or after 9999")
		}
	}
	dst = append(dst, byte(r.Kind), flags)
	dst = binary.AppendUvarint(dst, uint64(sealed)) // #nosec G115 -- not negative
	dst = binary.AppendVarint(dst, sealed-p.IssuedAt.Unix())
	if flags&flagAuthTime != 0 {
		dst = binary.AppendVarint(dst, sealed-p.AuthTime.Unix())
	}
	dst = append(dst, r.Place[:]...)
	if flags&flagMessage != 0 {
		dst = append(dst, r.Message[:]...)
	}
	for _, text := range [...]string{p.Issuer, p.Subject, p.Tenant, p.Txn} {
		dst = append(binary.AppendUvarint(dst, uint64(len(text))), text...)
	}
	return dst, nil
}

// parseRecord reads what append wrote, and nothing else: there is one way to write a record.
func parseRecord(in []byte) (Record, error) {
	c := cursor{rest: in}
	kind, flags := Kind(c.byte()), c.byte()
	sealed := c.seconds(c.uvarint())
	issued := c.seconds(sealed - c.varint())
	r := Record{Kind: kind, Cron: flags&flagCron != 0, SealedAt: at(sealed)}
	p := principal.Principal{Kind: principal.KindUser, IssuedAt: at(issued)}
	if flags&flagService != 0 {
		p.Kind = principal.KindService
	}
	if flags&flagAuthTime != 0 {
		p.AuthTime = at(c.seconds(sealed - c.varint()))
	}
	r.Place = c.place()
	if flags&flagMessage != 0 {
		r.Message = c.place()
		c.bad = c.bad || r.Message == Place{}
	}
	for _, text := range [...]*string{&p.Issuer, &p.Subject, &p.Tenant, &p.Txn} {
		*text = c.text()
	}
	if c.bad || len(c.rest) > 0 {
		return Record{}, errors.New("the record is cut short, or has more to it than there should be")
	}
	if flags > flagsKnown || kindNames[kind] == "" {
		return Record{}, fmt.Errorf("the record has an unknown kind (%d) or flag (%#x): upgrade signet", kind, flags)
	}
	if err := p.Check(); err != nil {
		return Record{}, err
	}
	r.Principal = p
	return r, nil
}

func at(seconds int64) time.Time { return time.Unix(seconds, 0).UTC() }

// cursor reads from the front of a record. After the first thing that is not as it must be, bad stays true.
type cursor struct {
	rest []byte
	bad  bool
}

func (c *cursor) take(n int) []byte {
	if c.bad || n < 0 || n > len(c.rest) { // below 0: a length on 32 bits
		c.bad = true
		return nil
	}
	out := c.rest[:n]
	c.rest = c.rest[n:]
	return out
}

func (c *cursor) byte() byte {
	if b := c.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (c *cursor) place() (p Place) {
	copy(p[:], c.take(len(p)))
	return p
}

// uvarint reads a varint in its shortest form, of at most maxSeconds.
func (c *cursor) uvarint() int64 {
	v, n := binary.Uvarint(c.rest)
	if c.bad || n <= 0 || n > 1 && c.rest[n-1] == 0 || v > 2*maxSeconds+1 {
		c.bad = true
		return 0
	}
	c.rest = c.rest[n:]
	return int64(v) // #nosec G115 -- bounded above
}

// varint reads a signed one: zigzag, as in protobuf.
func (c *cursor) varint() int64 {
	v := c.uvarint()
	return v>>1 ^ -(v & 1)
}

func (c *cursor) seconds(t int64) int64 {
	if t < 0 || t > maxSeconds {
		c.bad = true
		return 0
	}
	return t
}

func (c *cursor) text() string {
	return string(c.take(int(c.uvarint())))
}
