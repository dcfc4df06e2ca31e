package converter

import (
	"fmt"

	"github.com/klauspost/compress/zstd"

	"github.com/signet-temporal/signet/internal/wire"
)

// maxExpanded is the most that a compressed body may expand to (spec §4): Temporal's own limits are far below it, and a
// body that was made to expand without end stops here.
const maxExpanded = 64 << 20

// compressor is stateless between calls and safe for concurrent use.
type compressor struct {
	encoder *zstd.Encoder
	decoder *zstd.Decoder
}

func newCompressor() (compressor, error) {
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithLowerEncoderMem(true))
	if err != nil {
		return compressor{}, fmt.Errorf("setting up zstd: %w", err)
	}
	decoder, err := zstd.NewReader(nil, zstd.WithDecoderMaxMemory(maxExpanded), zstd.WithDecoderLowmem(true), zstd.WithDecoderConcurrency(0))
	if err != nil {
		return compressor{}, fmt.Errorf("setting up zstd: %w", err)
	}
	return compressor{encoder, decoder}, nil
}

// compress returns plaintext (a flag and a body) with its body compressed, or unchanged if that gains nothing or could
// not be expanded again. The memory of plaintext is reused where it can be.
func (c compressor) compress(plaintext []byte) []byte {
	if len(plaintext) > maxExpanded {
		return plaintext
	}
	small := c.encoder.EncodeAll(plaintext[1:], make([]byte, 1, len(plaintext)))
	if len(small) >= len(plaintext) {
		return plaintext
	}
	small[0] = byte(wire.Zstd)
	return append(plaintext[:0], small...)
}

// expand is bounded by maxExpanded, whatever the frame's header promises.
func (c compressor) expand(body []byte) ([]byte, error) {
	out, err := c.decoder.DecodeAll(body, nil)
	if err != nil {
		return nil, fmt.Errorf("%w: zstd: %w", wire.ErrMalformed, err)
	}
	return out, nil
}
