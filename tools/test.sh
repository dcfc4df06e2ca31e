#!/bin/sh
# Runs the tests of every module named, race detector on, as JSON for the test runner; deploy has no goroutines of ours, and
# a thousand packages of others that would be compiled twice. Two packages at a time: most of a test's time is waiting for
# servers. Of those that start real ones the two that want so many payloads a second have the machine for themselves, and
# then the two longest begin.
export PARTS_SMOKE=1 # tools/parts: start the programs, too
export GORACE="${GORACE:-atexit_sleep_ms=10}" # not a second at the end of every package
status=0
for module in "$@"; do
	race=-race
	[ "$module" = deploy ] && race=
	cd "$module" || exit 1
	if [ "$module" = e2e ]; then
		go test -json $race -count=1 -p 2 -timeout 30m ./keys ./throughput || status=1
		go test -json $race -count=1 -p 2 -timeout 30m ./ui ./census $(go list ./... | grep -v -e '/keys$' -e '/throughput$') || status=1
	else
		go test -json $race -count=1 -p 2 -timeout 30m ./... || status=1
	fi
	cd - >/dev/null || exit 1
done
exit $status
