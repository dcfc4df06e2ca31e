// Package principal says who is acting. It depends on the standard library alone, so that every other package can carry
// its values; proving who somebody is belongs to the packages beneath it, such as principal/verify.
//
// A [Caller] is who makes one request at the edge, as the tokens of that request prove. It is the subject of policy
// decisions and of audit records, and it never holds a token. A [Principal] is for whom work goes on after the request has
// ended: whoever started a workflow. It reaches the activities sealed in headers, see principal/propagate.
package principal
