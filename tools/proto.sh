#!/bin/sh
# Makes the Go code of the .proto files again. Needs protoc 3.21 or newer (Debian: protobuf-compiler and libprotobuf-dev);
# protoc-gen-go is that of the protobuf module in go.mod. To be run from anywhere.
set -eu
cd "$(dirname "$0")/.."
bin=$(mktemp -d)
trap 'rm -rf "$bin"' EXIT
go build -o "$bin/protoc-gen-go" google.golang.org/protobuf/cmd/protoc-gen-go
for file in proto/signet/labels/v1/labels.proto internal/labelstest/intake.proto; do
	protoc --plugin="$bin/protoc-gen-go" -I proto -I internal/labelstest --go_out=. --go_opt=module=github.com/signet-temporal/signet "$file"
done
