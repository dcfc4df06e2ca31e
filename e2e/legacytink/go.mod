module github.com/signet-temporal/signet/e2e/legacytink

go 1.26.8

require (
	github.com/google/tink/go v1.7.0
	go.temporal.io/api v1.63.5
	google.golang.org/protobuf v1.36.12
)

require (
	golang.org/x/crypto v0.0.0-20220214200702-86341886e292 // indirect
	golang.org/x/sys v0.39.0 // indirect
)
