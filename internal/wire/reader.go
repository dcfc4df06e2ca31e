package wire

import "bytes"

// Reader parses the outsides of payloads that come together. Most of them were sealed for one workflow by one key: what
// the last one says in the same bytes is not read again. The zero Reader is ready for use. It keeps a part of the metadata
// of the last payload, which must not change before the next one is parsed.
type Reader struct {
	last  Header
	outer Outer
}

// Parse is [Parse]. same reports that the payload is in order and that its outside says what that of the last payload
// said which was.
func (r *Reader) Parse(metadata map[string][]byte, data []byte) (o Outer, same bool, err error) {
	h := HeaderOf(metadata)
	if r.outer.Scope != "" && bytes.Equal(h.context, r.last.context) && bytes.Equal(h.keyID, r.last.keyID) {
		if err = checkEncoding(metadata); err == nil {
			err = r.outer.fits(metadata, data)
		}
		if err != nil {
			return Outer{}, false, err
		}
		return r.outer, true, nil
	}
	if o, err = Parse(metadata, data); err == nil {
		r.last, r.outer = h, o
	}
	return o, false, err
}
