#!/bin/sh
# Runs the tests of every module named, race detector on, as JSON for the test runner; deploy has no goroutines of ours, and
# a thousand packages of others that would be compiled twice. Two packages at a time, three where the real servers run: most
# of a test's time is waiting for them there, and the two longest begin.
export PARTS_SMOKE=1 # tools/parts: start the programs, too
export GORACE="${GORACE:-atexit_sleep_ms=10}" # not a second at the end of every package
status=0
for module in "$@"; do
	race=-race at_once=2 first=
	case $module in
	deploy) race= ;;
	e2e) at_once=3 first="./ui ./census" ;;
	esac
	(cd "$module" && go test -json $race -count=1 -p $at_once -timeout 30m $first ./...) || status=1
done
exit $status
