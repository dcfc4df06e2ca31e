// Package forward sends the records of an audit file on to a syslog server, as they are.
//
// The file stays the source of truth: a record is on disk before plaintext leaves, whether or not it is sent on, and
// forwarding that lags holds up nobody. Messages are those of RFC 5424 with the record's line as their text, counted as
// in RFC 6587 and RFC 5425, over TCP or TLS. Syslog acknowledges nothing, so a record counts as delivered when the other
// machine's kernel has acknowledged it (where this one tells: Linux) and the connection has lived on for five seconds,
// or when the server closes in answer to the end of what was sent.
// After a break, or a restart, it goes on behind the last record that counts: records may come twice, and say by their
// number that they do; what the other side has lost after it had taken it, nobody here can know.
//
// Where it is stands in a file, by the number and the hash of a record and not by a place in a file. So rotation, by the
// server or by others, changes nothing. A log that does not hold that record any more, because it was replaced or cut, is
// noticed and sent from the oldest record on; records that were removed or changed before they were sent are noticed as
// well. All are errors in the log, and counted.
package forward
