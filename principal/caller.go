package principal

import "log/slog"

// Caller is who makes a request. The zero value is nobody and matches no policy. It is a plain value: safe to copy, and
// to share while nobody writes to Groups and Claims.
type Caller struct {
	Issuer  string   // who vouches for the rest: the exact "iss" of the token; never empty for a verified caller
	Subject string   // the issuer's stable id of the caller ("sub"); never empty for a verified caller
	Email   string   // "" unless the issuer says that it is verified
	Groups  []string // as the issuer names them; means nothing without Issuer

	// Claims of the tokens by name, as texts, for policies that ask for them. A nil entry is a claim that is there and
	// cannot be compared: an object, or an e-mail address, which is in Email alone. All nil: who verified the caller does
	// not pass claims on. Never logged.
	Claims map[string][]string

	// Machine: a program, which proved by a certificate or a static token which one it is. It is never answered as a
	// person is.
	Machine bool
}

// Name is what a person recognises the caller by: the e-mail address, or else the subject. It is not an identity.
func (c Caller) Name() string {
	if c.Email != "" {
		return c.Email
	}
	return c.Subject
}

// LogValue implements [slog.LogValuer]: logs name a caller by issuer and subject, without e-mail address and groups.
func (c Caller) LogValue() slog.Value {
	return slog.GroupValue(slog.String("issuer", c.Issuer), slog.String("subject", c.Subject))
}
