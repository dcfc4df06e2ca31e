package codecserver

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// CORS says which web pages may call the server.
type CORS struct {
	// AllowedOrigins are exact origins of Web UIs, such as https://temporal.example.com. There are no patterns.
	// A request with any other Origin is refused, so a Web UI that shares its origin with this server stands here, too.
	AllowedOrigins []string
	// AllowCredentials lets pages send cookies, for "include cross-origin credentials": needed where people log in to
	// this server (package login), or to a proxy in front of it, by cookie.
	AllowCredentials bool
}

const (
	allowedHeaders = "Authorization, Authorization-Extras, Content-Type, X-Namespace"
	preflightAge   = "7200" // seconds; what browsers cap it at
)

type cors struct {
	CORS
}

func newCORS(c CORS) (*cors, error) {
	if i, err := CheckOrigins(c.AllowedOrigins); err != nil {
		return nil, fmt.Errorf("AllowedOrigins[%d]: %w", i, err)
	}
	return &cors{CORS{slices.Clone(c.AllowedOrigins), c.AllowCredentials}}, nil
}

// CheckOrigins reports the first entry that no browser would ever send as Origin, and its index.
func CheckOrigins(origins []string) (int, error) {
	for i, origin := range origins {
		u, err := url.Parse(origin)
		if err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" || u.Scheme+"://"+u.Host != origin ||
			strings.ToLower(origin) != origin || strings.Contains(origin, "*") {
			return i, fmt.Errorf("%q is not an origin as browsers send it, such as https://temporal.example.com", origin)
		}
		if port := u.Port(); u.Scheme == "https" && port == "443" || u.Scheme == "http" && port == "80" {
			return i, fmt.Errorf("%q: browsers leave out the port %s, leave it out, too", origin, port)
		}
	}
	return 0, nil
}

// apply sets the CORS headers of the answer, whatever the answer will be, since a browser that misses them on an error
// calls it a network error and tries again. A request of an origin that is not allowed is a problem; so is a second
// Origin header. A request without one is not a browser's cross-origin request and passes.
func (c *cors) apply(q *request) error {
	header := q.w.Header()
	header.Add("Vary", "Origin")
	origins := q.Header.Values("Origin")
	if len(origins) == 0 {
		return nil
	}
	if len(origins) > 1 || !slices.Contains(c.AllowedOrigins, origins[0]) {
		return &problem{status: http.StatusForbidden, code: "origin-not-allowed",
			detail: fmt.Sprintf("origin %.200q is not one of cors.origins", strings.Join(origins, ", "))}
	}
	q.browser = true
	header.Set("Access-Control-Allow-Origin", origins[0])
	header.Set("Access-Control-Expose-Headers", "X-Request-Id, "+SummaryHeader)
	if c.AllowCredentials {
		header.Set("Access-Control-Allow-Credentials", "true")
	}
	if q.Method != http.MethodOptions {
		return nil
	}
	header.Set("Access-Control-Allow-Methods", "POST")
	header.Set("Access-Control-Allow-Headers", allowedHeaders)
	header.Set("Access-Control-Max-Age", preflightAge)
	if q.Header.Get("Access-Control-Request-Private-Network") == "true" {
		header.Set("Access-Control-Allow-Private-Network", "true")
	}
	return nil
}
