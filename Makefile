# README.md says what each target is for. The logic is in Go and in tools/*.sh.
MODULES = . principal/s2s/spiffe tools/parts tools/testoidc deploy demo e2e e2e/legacytink
TOOL    = go tool -modfile=tools/go.mod

.PHONY: demo test unit parts check bench fuzz vuln

demo: # ARGS=--once checks and ends; ARGS=--vault uses a real Vault
	@echo "compiling the demo; the first time this takes a minute or two"
	@cd demo && go build -o ../.parts/demo . && exec ../.parts/demo $(ARGS)

test: parts
	$(TOOL) gotestsum --format pkgname --raw-command -- sh tools/test.sh $(MODULES)

unit:
	go test ./...

parts:
	cd tools/parts && go run ./cmd/parts

check:
	sh tools/check.sh $(MODULES)

bench:
	go test -run '^$$' -bench . -benchmem ./converter

fuzz: # what meets the bytes of strangers for a minute each, the rest briefly
	sh tools/fuzz.sh 60s '^Fuzz(Decode|ParseThenMarshalIsIdentity|FailureConverter)$$'
	sh tools/fuzz.sh 10s

vuln: # needs the Go vulnerability database on the network
	$(TOOL) govulncheck ./...
