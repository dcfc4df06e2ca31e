package assertion

import "net/http"

// FetchWith is Fetch over another transport.
func FetchWith(base http.RoundTripper, at string) (Keys, error) {
	keys, err := Fetch(at, nil)
	if err != nil {
		return nil, err
	}
	keys.(*published).client.Transport = base
	return keys, nil
}
