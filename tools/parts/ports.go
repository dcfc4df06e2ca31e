package parts

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
)

const loopback = "127.0.0.1"

// FreePort returns a TCP port of 127.0.0.1 that was free a moment ago. It is below those that systems give to whoever asks
// for any (from 32768 on): one of them may be another's before it is used. The program that fails to bind it says so.
func FreePort() (int, error) {
	var err error
	for range 100 {
		port := 20000 + rand.IntN(12000)
		var l net.Listener
		if l, err = net.Listen("tcp", net.JoinHostPort(loopback, strconv.Itoa(port))); err == nil {
			return port, l.Close()
		}
	}
	return 0, fmt.Errorf("find a free port: %w", err)
}

// portOr returns port, or a free one when it is 0. Every start chooses its port here, not in the program, so
// that a restart gets the same one.
func portOr(port int) (int, error) {
	if port != 0 {
		return port, nil
	}
	return FreePort()
}
