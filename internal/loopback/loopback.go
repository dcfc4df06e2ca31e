// Package loopback knows the hosts to which secrets may go without TLS: those that are this machine.
package loopback

import "net"

// Is reports whether host, without a port, is "localhost" or a loopback address. No name is looked up.
func Is(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
