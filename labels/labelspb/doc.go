// Package labelspb is what protoc-gen-go makes of signet/labels/v1/labels.proto, the option that labels protobuf fields.
// Code that is generated from your .proto files imports it; there is nothing in it to call. Package labels reads the option.
package labelspb

//go:generate sh ../../tools/proto.sh
