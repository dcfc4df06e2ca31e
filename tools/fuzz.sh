#!/bin/sh
# Runs every fuzz test of the library for the time given, one after the other, on one core.
set -eu
for file in $(git ls-files '*_test.go' | xargs grep -l '^func Fuzz'); do
	for name in $(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' "$file"); do
		echo "== $name"
		go test -run '^$' -fuzz "^$name\$" -fuzztime "$1" -parallel 1 "./$(dirname "$file")"
	done
done
