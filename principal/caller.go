package principal

import "log/slog"

// Caller is who makes a request. The zero value is nobody and matches no policy. It is a plain value: safe to copy, and
// to share while nobody writes to Groups and Claims.
type Caller struct {
	Issuer  string   // who vouches for the rest: the exact "iss" of the token; never empty for a verified caller
	Subject string   // the issuer's stable id of the caller ("sub"); never empty for a verified caller
	Email   string   // "" unless the issuer says that it is verified
	Groups  []string // as the issuer names them; means nothing without Issuer

	// Claims of the tokens that are a string or a list of strings, by name, for policies that ask for them; the e-mail
	// address is in Email alone. Nil where who verified the caller does not pass claims on: then nothing is known of them.
	// Never logged.
	Claims map[string][]string
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
