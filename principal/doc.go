// Package principal says who is acting. It depends on the standard library alone, so that every other package can carry
// its values; proving who somebody is belongs to the packages beneath it, such as principal/verify.
//
// A [Caller] is who makes one request at the edge, as the tokens of that request prove. It is the subject of policy
// decisions and of audit records, and it never holds a token.
package principal
