package parts

import (
	"fmt"
	"net"
)

const loopback = "127.0.0.1"

// FreePort returns a TCP port of 127.0.0.1 that was free a moment ago. Another process can take it before
// it is used; the program that then fails to bind it says so.
func FreePort() (int, error) {
	l, err := net.Listen("tcp", loopback+":0")
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// portOr returns port, or a free one when it is 0. Every start chooses its port here, not in the program, so
// that a restart gets the same one.
func portOr(port int) (int, error) {
	if port != 0 {
		return port, nil
	}
	return FreePort()
}
