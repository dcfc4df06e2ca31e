package codecserver

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/signet-temporal/signet/codecserver/audit"
)

// SearchTokens makes the tokens that stand for values in search attributes; see docs/spec/search-token-v1.md. It is safe
// for concurrent use.
type SearchTokens interface {
	// SearchTokens returns the tokens to search for in place of value, one for each key in use, that of the primary key
	// first: as *converter.SearchTokens has them as Candidates. They are for the namespace that seals for scope, and for a
	// tenant with a keyset of its own where tenant is not "". An error matches [ErrNoSearchKeys] where there is no
	// keyset for them at all, or has a Reason as the errors of a [Codec] have; it holds nothing of the value.
	SearchTokens(scope, tenant, attribute, value string) ([]string, error)
}

// ErrNoSearchKeys is what [SearchTokens] say of a namespace or tenant that has no keyset for search tokens.
var ErrNoSearchKeys = errors.New("no keyset for search tokens")

// searchPath is the last segment of the path. The policy and the audit log call the action search.
const searchPath = "search-token"

// maxSearchBody bounds a question, and so the value in it.
const maxSearchBody = 64 << 10

// question is the body of a request to /search-token.
type question struct {
	Attribute string `json:"attribute"` // name of the search attribute
	Value     string `json:"value"`     // in the form in which it was stored
	Tenant    string `json:"tenant"`    // optional: whose workflows are searched, where tenants have keysets of their own
}

// found is the answer.
type found struct {
	Attribute string   `json:"attribute"`
	Tokens    []string `json:"tokens"`
	Query     string   `json:"query"` // for a list of workflows: finds those with one of the tokens
}

// attributeName is what Temporal takes as the name of a search attribute and can stand in a query.
var attributeName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]{0,254}$`)

// searchToken answers a value with its tokens, for the namespace of X-Namespace. Whoever may ask can try values, so each
// question counts towards what the caller may have, and is on record: without the value and without the tokens.
func (h *Handler) searchToken(q *request) {
	if q.namespace == "" {
		h.fail(q, badRequest("to search, X-Namespace must say in which namespace"))
		return
	}
	asked, err := readQuestion(q)
	if err != nil {
		h.fail(q, err)
		return
	}
	it := &item{}
	it.sealed, it.ns = true, h.byName[q.namespace]
	var tokens []string
	if it.ns == nil {
		it.close(unknownNamespace, "X-Namespace is not that of a namespace which is served")
	} else {
		h.ask(q, &it.verdict, asked.Tenant)
		h.limitRate(q, []*item{it})
	}
	if it.reason == none {
		tokens = h.tokensFor(it, asked)
	}
	if err := h.audit.Write(q.Context(), q.searchRecord(it, asked)); err != nil {
		it.close(auditUnavailable, err.Error())
		h.log.ErrorContext(q.Context(), "audit log cannot be written: no search token is made", "request", q.id, "error", err)
	}
	h.shout(q, []*item{it})
	if it.reason != none {
		h.refuse(q, it.reason, it.detail)
		return
	}
	body, err := json.Marshal(found{asked.Attribute, tokens, listFilter(asked.Attribute, tokens)})
	if err != nil {
		h.fail(q, err)
		return
	}
	q.w.Header().Set("Content-Type", "application/json")
	q.w.WriteHeader(http.StatusOK)
	_, _ = q.w.Write(body) // the client has gone: nobody is left to tell
	h.logDone(q, nil)
}

// readQuestion is strict: a member that is misspelled would search for something else. Its errors quote nothing.
func readQuestion(q *request) (question, error) {
	body, err := io.ReadAll(http.MaxBytesReader(q.w, q.Body, maxSearchBody))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return question{}, &problem{status: http.StatusRequestEntityTooLarge, code: "too-large", detail: "the body is larger than 64 KiB"}
	case err != nil || !utf8.Valid(body):
		return question{}, badRequest("the body is not JSON in UTF-8")
	}
	var asked question
	in := json.NewDecoder(strings.NewReader(string(body)))
	in.DisallowUnknownFields()
	if in.Decode(&asked) != nil || in.Decode(&struct{}{}) != io.EOF {
		return question{}, badRequest(`the body is not {"attribute":"…","value":"…"}, with an optional "tenant"`)
	}
	odd := func(r rune) bool { return r == '/' || !unicode.IsPrint(r) }
	switch {
	case !attributeName.MatchString(asked.Attribute):
		return question{}, badRequest(`"attribute" is not the name of a search attribute, such as PatientSSN`)
	case asked.Value == "":
		return question{}, badRequest(`"value" is empty: an attribute without a value has no token`)
	case len(asked.Tenant) > 200 || strings.ContainsFunc(asked.Tenant, odd):
		return question{}, badRequest(`"tenant" is not the name of a tenant`)
	}
	return asked, nil
}

func (h *Handler) tokensFor(it *item, asked question) []string {
	tokens, err := h.search.SearchTokens(it.ns.Scope, asked.Tenant, asked.Attribute, asked.Value)
	switch {
	case errors.Is(err, ErrNoSearchKeys):
		it.close(noSearchKeys, err.Error())
	case err != nil:
		it.close(reasonOf(err), err.Error())
	case len(tokens) == 0:
		it.close(internal, "no token was made")
	default:
		it.opened = true
		return tokens
	}
	return nil
}

func (q *request) searchRecord(it *item, asked question) audit.Record {
	r := q.record(it.decision(), string(it.reason))
	r.Rule, r.Attribute, r.Tenant = it.rule, asked.Attribute, asked.Tenant
	if it.glass {
		r.BreakGlass = q.breakGlass
	}
	if it.opened {
		r.Namespace = it.ns.Name
	} else {
		r.Claimed = &audit.Item{Namespace: q.namespace}
	}
	return r
}

// listFilter is the query for workflows whose attribute is one of tokens. Nothing in either needs an escape but the name.
func listFilter(attribute string, tokens []string) string {
	if strings.ContainsAny(attribute, ".-") {
		attribute = "`" + attribute + "`"
	}
	return attribute + " IN ('" + strings.Join(tokens, "', '") + "')"
}
