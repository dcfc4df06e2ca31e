#!/bin/sh
# usage: fuzz.sh TIME [PATTERN]
# Runs every fuzz test of the library whose name matches, for that time each, one after the other, on one core.
set -eu
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# Go 1.26 may call the end of the time a failure (golang/go#75804, fixed in 1.27). It is none when that is all it says:
# for what really fails, Go prints where it wrote the input, or what panicked.
out_of_time() {
	test "$(grep -v '^fuzz: elapsed: ' "$log" | sed 's/[0-9.]*s\()*\)$/\1/' | tr -s ' \t\n' ' ')" = \
		"--- FAIL: $1 () context deadline exceeded FAIL exit status 1 FAIL $2 "
}

for file in $(git ls-files '*_test.go' | xargs grep -l '^func Fuzz'); do
	package=$(go list "./$(dirname "$file")")
	for name in $(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' "$file" | grep -E "${2:-.}" || true); do
		echo "== $name, for $1"
		if go test -run '^$' -fuzz "^$name\$" -fuzztime "$1" -fuzzminimizetime 100x -parallel 1 "$package" >"$log" 2>&1; then
			cat "$log"
		else
			cat "$log"
			out_of_time "$name" "$package"
			echo "$name ran out of time while a worker was busy: nothing was found"
		fi
	done
done
