// Command signet-vet finds sensitive data without a label, and labelled data in what Temporal stores in clear. It is a
// tool for go vet:
//
//	go install github.com/signet-temporal/signet/cmd/signet-vet@latest
//	go vet -vettool=$(which signet-vet) ./...
//
// Package labels/vet says what it looks at. -labels.fields and -labels.types, behind -vettool, say what is sensitive.
package main

import "github.com/signet-temporal/signet/labels/vet"

func main() { vet.Main() }
