#!/bin/sh
# Runs the tests of every module named, race detector on, as JSON for the test runner; deploy has no goroutines of ours, and
# a thousand packages of others that would be compiled twice. Two packages at a time: where the
# real servers run, most of a test's time is waiting for them.
export PARTS_SMOKE=1 # tools/parts: start the programs, too
status=0
for module in "$@"; do
	race=-race
	[ "$module" = deploy ] && race=
	(cd "$module" && go test -json $race -count=1 -p 2 -timeout 30m ./...) || status=1
done
exit $status
