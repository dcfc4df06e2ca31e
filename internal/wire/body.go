package wire

import "fmt"

// Flag is the first byte of the plaintext (spec §4): what the rest is.
type Flag byte

// The flags of format v1.
const (
	Plain Flag = 0 // a marshalled temporal.api.common.v1.Payload
	Zstd  Flag = 1 // the same, as one zstd frame (RFC 8878)
)

// SplitBody returns the flag of an opened plaintext and the body behind it. An unknown flag is [ErrVersion]: the
// plaintext is authentic, so a later version wrote it.
func SplitBody(plaintext []byte) (Flag, []byte, error) {
	if len(plaintext) == 0 {
		return 0, nil, malformed("plaintext is empty")
	}
	flag := Flag(plaintext[0])
	if flag != Plain && flag != Zstd {
		return 0, nil, fmt.Errorf("%w (flag %d)", ErrVersion, flag)
	}
	return flag, plaintext[1:], nil
}
