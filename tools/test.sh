#!/bin/sh
# Runs the tests of every module named, race detector on, as JSON for the test runner. One package at a time where the
# real servers run: they share two cores with the tests.
export PARTS_SMOKE=1 # tools/parts: start the programs, too
status=0
for module in "$@"; do
	(cd "$module" && go test -json -race -count=1 -p "$([ "$module" = . ] && echo 2 || echo 1)" -timeout 30m ./...) || status=1
done
exit $status
