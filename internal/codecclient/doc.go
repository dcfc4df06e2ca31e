// Package codecclient has payloads decoded by a codec server: many in a request, several requests at a time, and each
// payload by itself where one of them is refused, so that the rest of a history can be read.
//
// It speaks the codec protocol to any server: POST <endpoint>/decode with the JSON of Payloads. A server that is busy or
// away (429, 502, 503, 504, no connection) is asked again after the time that it names. A request that the server refuses
// for its content (403, 413, 422, another 4xx, and 500) is cut in halves until the payloads are known that it refuses. After a
// number of refusals without a single payload decoded, the rest is taken to be refused as well. 401 ends everything: no
// payload is to blame.
//
// Tokens go over TLS, or to this machine, alone; redirects are not followed. No error quotes what a server sent but its
// request id.
package codecclient
