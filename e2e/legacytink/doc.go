// Package legacytink holds one test: that the fixtures of converter/legacy are what the archived library
// github.com/google/tink/go made. It is a module of its own because no program can link that library and
// github.com/tink-crypto/tink-go/v2 together: both register the same protobuf messages.
package legacytink
