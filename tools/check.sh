#!/bin/sh
# Formatting, vet, staticcheck and go.mod of every module named; and that the rooms stay small.
set -u
status=0
root=$(pwd)
fail() {
	echo "check: $1" >&2
	status=1
}

unformatted=$(gofmt -l $(git ls-files '*.go'))
[ -z "$unformatted" ] || fail "not formatted, run gofmt -w: $unformatted"

long=$(git ls-files '*.go' | grep -v -e '_test\.go$' -e '\.pb\.go$' | xargs wc -l | awk '$2 != "total" && $1 > 420 { print $2 " (" $1 " lines)" }')
[ -z "$long" ] || fail "files that have grown too large: $long"

staticcheck=$(mktemp)
trap 'rm -f "$staticcheck"' EXIT
go build -modfile=tools/go.mod -o "$staticcheck" honnef.co/go/tools/cmd/staticcheck || exit 1
for module in "$@"; do
	cd "$root/$module" || exit 1
	go vet ./... || fail "go vet in $module"
	"$staticcheck" ./... || fail "staticcheck in $module"
	go mod tidy -diff || fail "go.mod of $module is not tidy, run go mod tidy there"
done
exit $status
