package forward

import (
	"crypto/tls"
	"net"

	"golang.org/x/sys/unix"
)

// unacked is how many bytes the other machine has not acknowledged. known is false where that cannot be found out.
func unacked(conn net.Conn) (n int64, known bool) {
	if t, ok := conn.(*tls.Conn); ok {
		conn = t.NetConn()
	}
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return 0, false
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return 0, false
	}
	var waiting int
	var asked error
	if err := raw.Control(func(fd uintptr) { waiting, asked = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ) }); err != nil || asked != nil {
		return 0, false
	}
	return int64(waiting), true
}
