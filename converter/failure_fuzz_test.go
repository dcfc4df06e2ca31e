package converter

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	enumspb "go.temporal.io/api/enums/v1"
	failurepb "go.temporal.io/api/failure/v1"
	"go.temporal.io/sdk/temporal"
	"google.golang.org/protobuf/proto"
)

// kinds of error that a tree is made of: "a" to the last one. Every tree ends with a plain error.
const kinds = "abcdefghijkl"

// secretText begins all that a failure must not show.
const secretText = "078-05-1120 "

// tree makes an error with a cause for every letter of shape. Whether it comes back as it went is only known of some.
func tree(shape, text string) (err error, exact bool) {
	if shape == "" {
		return errors.New(secretText + text), true
	}
	cause, exact := tree(shape[1:], text)
	switch kinds[int(shape[0])%len(kinds)] {
	case 'a':
		return temporal.NewApplicationErrorWithCause(secretText+text, "Declined", cause, secretText+text), exact
	case 'b':
		return temporal.NewNonRetryableApplicationError(secretText+text, "Declined", cause, secretText+text, 42), exact
	case 'c':
		return temporal.NewCanceledErrorWithOptions(temporal.CanceledErrorOptions{Message: secretText + text, Details: []any{secretText + text}, Cause: cause}), exact
	case 'd':
		return temporal.NewTimeoutError(enumspb.TIMEOUT_TYPE_HEARTBEAT, cause, secretText+text), exact
	case 'e':
		return fmt.Errorf("%s: %w", secretText+text, cause), exact
	case 'f':
		return errors.Join(cause, errors.New(secretText+text)), false
	case 'g':
		return &Error{kind: ErrKeyUnavailable, cause: cause}, false
	case 'h':
		return temporal.NewApplicationError(secretText+text, "Declined", make(chan int)), false
	case 'i':
		return &temporal.NexusOperationError{Message: secretText + text, Cause: cause}, false
	case 'j':
		return new(temporal.CanceledError), false
	case 'k':
		return (*temporal.ApplicationError)(nil), false
	default:
		return panicsOver(secretText + text), false
	}
}

// panicsOver is an error of a careless application.
type panicsOver string

func (p panicsOver) Error() string { panic(string(p)) }

// FuzzFailureConverter: whatever fails, and whatever a server says has failed, no panic comes out of the failure
// converter, no secret leaves it, and with the key an error comes back as it went.
func FuzzFailureConverter(f *testing.F) {
	for i := range kinds {
		f.Add(kinds[i:]+kinds, "ward 7", []byte(nil))
	}
	sealed := newFC(f, nil, newDC(f, paymentKeys(f))).ErrorToFailure(secretError())
	data, err := proto.Marshal(sealed)
	if err != nil {
		f.Fatal(err)
	}
	f.Add("", "", data)
	f.Add("abcdeabcde", "ward 7", []byte(nil))
	keys := paymentKeys(f)
	fc := newFC(f, nil, newDC(f, keys))
	f.Fuzz(func(t *testing.T, shape, text string, foreign []byte) {
		if len(shape) > 100 || !utf8.ValidString(text) {
			return
		}
		went, exact := tree(shape, text)
		for _, trouble := range []error{nil, errors.New("KEY-AWAY"), goneError{}} {
			keys.fail(trouble)
			failure := fc.ErrorToFailure(went)
			shows(t, failure)
			came := fc.FailureToError(failure)
			if exact && trouble == nil {
				sameErrors(t, went, came)
			}
			shows(t, fc.ErrorToFailure(came)) // handed on
			var written failurepb.Failure
			if proto.Unmarshal(foreign, &written) == nil {
				before := proto.Clone(&written)
				_ = fc.ErrorToFailure(fc.FailureToError(&written))
				if !proto.Equal(before, &written) {
					t.Fatal("FailureToError has changed what it was given")
				}
			}
			keys.fail(nil)
			_ = fc.FailureToError(failure)
		}
	})
}

func shows(t *testing.T, failure *failurepb.Failure) {
	t.Helper()
	data, err := proto.Marshal(failure)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(data, []byte(strings.TrimSpace(secretText))) {
		t.Fatalf("the failure shows a secret: %v", failure)
	}
}

// sameErrors compares what an application reads of two errors, down to the last cause.
func sameErrors(t *testing.T, went, came error) {
	t.Helper()
	for depth := 0; went != nil || came != nil; depth++ {
		if a, b := read(went), read(came); a != b {
			t.Fatalf("at depth %d went %s, came %s", depth, a, b)
		}
		went, came = errors.Unwrap(went), errors.Unwrap(came)
	}
}

func read(err error) string {
	details := func(has bool, get func(...any) error) string {
		var text string
		if !has {
			return "none"
		}
		if err := get(&text); err != nil {
			return err.Error()
		}
		return text
	}
	switch err := err.(type) {
	case nil:
		return "nothing"
	case *temporal.ApplicationError:
		return fmt.Sprintf("%s, %t: %s, %s", err.Type(), err.NonRetryable(), err.Message(), details(err.HasDetails(), err.Details))
	case *temporal.CanceledError:
		return "canceled: " + details(err.HasDetails(), err.Details)
	case *temporal.TimeoutError:
		return fmt.Sprintf("%s: %s", err.TimeoutType(), details(err.HasLastHeartbeatDetails(), err.LastHeartbeatDetails))
	default: // any other error becomes an application error of its type, where that says something
		name := strings.TrimPrefix(fmt.Sprintf("%T", err), "*fmt.")
		return fmt.Sprintf("%s, false: %s, none", strings.TrimPrefix(name, "*errors.errorString"), err)
	}
}
