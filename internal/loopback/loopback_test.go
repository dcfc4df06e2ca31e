package loopback

import "testing"

func TestOnlyThisMachineIsALoopbackHost(t *testing.T) {
	for _, host := range []string{"localhost", "127.0.0.1", "127.8.9.10", "::1"} {
		if !Is(host) {
			t.Errorf("%q is none", host)
		}
	}
	for _, host := range []string{"", "LOCALHOST", "localhost.", "localhost.example", "127.0.0.1.example", "0.0.0.0", "10.0.0.1", "[::1]", "127.0.0.1:80"} {
		if Is(host) {
			t.Errorf("%q is one", host)
		}
	}
}
