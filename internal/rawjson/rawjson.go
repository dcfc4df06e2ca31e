// Package rawjson finds its way through JSON without changing, copying or converting a byte of it. Except for [Valid],
// which comes first, every function relies on data that is valid, and on offsets that this package has returned.
package rawjson

import (
	"bytes"
	"encoding/json"
	"unicode/utf8"
)

// Valid reports whether data is one JSON value in UTF-8, not nested deeper than encoding/json reads.
func Valid(data []byte) bool { return utf8.Valid(data) && json.Valid(data) }

// Start returns where the next value, name or delimiter begins, at or after at.
func Start(data []byte, at int) int {
	for at < len(data) && (data[at] == ' ' || data[at] == '\n' || data[at] == '\t' || data[at] == '\r') {
		at++
	}
	return at
}

// End returns where the value that begins at at ends.
func End(data []byte, at int) int {
	switch data[at] {
	case '"':
		return stringEnd(data, at)
	case '{', '[':
		return bracketsEnd(data, at)
	}
	for at < len(data) {
		switch data[at] {
		case ',', '}', ']', ' ', '\n', '\t', '\r':
			return at
		}
		at++
	}
	return at
}

func stringEnd(data []byte, at int) int {
	for at++; ; at++ {
		at += bytes.IndexByte(data[at:], '"')
		backslashes := at
		for data[backslashes-1] == '\\' {
			backslashes--
		}
		if (at-backslashes)%2 == 0 {
			return at + 1
		}
	}
}

func bracketsEnd(data []byte, at int) int {
	for depth := 0; ; at++ {
		switch data[at] {
		case '"':
			at = stringEnd(data, at) - 1
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return at + 1
			}
		}
	}
}

// Members calls each for every member of the object that begins at at, with its name as it is written, quotes included,
// and where its value begins. each returns where the value ends. Members returns where the object ends.
func Members(data []byte, at int, each func(name []byte, value int) (end int)) int {
	for at = Start(data, at+1); data[at] != '}'; {
		name := data[at:stringEnd(data, at)]
		colon := Start(data, at+len(name))
		at = Start(data, each(name, Start(data, colon+1)))
		if data[at] == ',' {
			at = Start(data, at+1)
		}
	}
	return at + 1
}

// Elements is [Members] for an array: each gets the index.
func Elements(data []byte, at int, each func(index, value int) (end int)) int {
	at = Start(data, at+1)
	for i := 0; data[at] != ']'; i++ {
		at = Start(data, each(i, at))
		if data[at] == ',' {
			at = Start(data, at+1)
		}
	}
	return at + 1
}

// Text returns what a string says.
func Text(quoted []byte) string {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return string(quoted[1 : len(quoted)-1])
	}
	var text string
	_ = json.Unmarshal(quoted, &text) // a valid string is a string
	return text
}
