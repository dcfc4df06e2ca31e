package rotate_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/signet-temporal/signet/keys"
	"github.com/signet-temporal/signet/keys/rotate"
)

// TestAKeysetIsBroughtForwardAndNeverBack: a document that a restored Vault has of yesterday becomes the one of today's
// backup. Whatever the backup does not have, or has in an earlier state, is not lost to it.
func TestAKeysetIsBroughtForwardAndNeverBack(t *testing.T) {
	for what, tc := range map[string]struct {
		change func(there, backup *keys.Keyset)
		says   string // "": it is brought forward
	}{
		"a key was added": {func(_, b *keys.Keyset) {
			b.Keys = append(b.Keys, keys.Key{ID: 6, State: keys.Pending, Created: today, Wrapped: []byte{1}})
		}, ""},
		"a key was promoted": {func(_, b *keys.Keyset) {
			b.Key(1).State, b.Key(1).Promoted, b.Key(2).State, b.Key(2).Retired = keys.Primary, today, keys.Retired, today
		}, ""},
		"a key was disabled": {func(_, b *keys.Keyset) { b.Key(3).State, b.Key(3).Disabled = keys.Disabled, today }, ""},
		"a key was destroyed": {func(_, b *keys.Keyset) {
			b.Key(4).State, b.Key(4).Destroyed, b.Key(4).Wrapped = keys.Destroyed, today, nil
		}, ""},
		"keys were rewrapped":   {func(_, b *keys.Keyset) { b.Key(3).Wrapped, b.Key(3).Rewrapped = []byte{2}, today }, ""},
		"the policy changed":    {func(_, b *keys.Keyset) { b.Policy.RotateEvery = keys.Duration(time.Hour) }, ""},
		"a key was compromised": {func(_, b *keys.Keyset) { b.Key(3).Compromised = today }, ""},

		"it is to be shredded since": {func(_, b *keys.Keyset) { b.ShredAfter = today }, ""},
		"it was shredded since": {func(_, b *keys.Keyset) {
			for i := range b.Keys {
				b.Keys[i].State, b.Keys[i].Wrapped = keys.Destroyed, nil
			}
			b.Shredded = today
		}, ""},

		"a key is missing":               {func(_, b *keys.Keyset) { b.Keys = b.Keys[1:] }, "has key 00000005, which the backup does not have"},
		"a key is pending again":         {func(_, b *keys.Keyset) { b.Key(3).State = keys.Pending }, "key 00000003 is retired, and pending in the backup"},
		"a disabled key opens again":     {func(_, b *keys.Keyset) { b.Key(4).State, b.Key(4).Disabled = keys.Retired, time.Time{} }, "key 00000004 is disabled, and retired in the backup"},
		"a destroyed key is there again": {func(_, b *keys.Keyset) { b.Key(5).State, b.Key(5).Wrapped = keys.Disabled, []byte{1} }, "key 00000005 is destroyed, and disabled in the backup"},
		"a mark of a compromise is gone": {func(k, _ *keys.Keyset) { k.Key(3).Compromised = today }, "key 00000003 is marked as compromised, and not in the backup"},
		"another key under the same id":  {func(_, b *keys.Keyset) { b.Key(3).Created = today }, "key 00000003 was made at another time than the one in the backup"},
		"it is older by a rewrap":        {func(k, _ *keys.Keyset) { k.Key(3).Rewrapped = today }, "key 00000003 was wrapped anew after the backup"},
		"it is a keyset of another type": {func(_, b *keys.Keyset) { b.Type = keys.AES256GCM }, "is of type XAES_256_GCM, and of type AES256_GCM in the backup"},
		"it has a KEK of its own":        {func(k, _ *keys.Keyset) { k.OwnKEK = true }, "has a key-encryption key of its own"},
		"it is to be shredded":           {func(k, _ *keys.Keyset) { k.ShredAfter = today }, "it is, or is to be, shredded"},
		"it is shredded": {func(k, b *keys.Keyset) {
			b.ShredAfter = today
			for i := range k.Keys {
				k.Keys[i].State, k.Keys[i].Wrapped = keys.Destroyed, nil
				b.Keys[i].State, b.Keys[i].Wrapped = keys.Destroyed, nil
			}
			k.Shredded = today
		}, "it is shredded"},
		"one that is wrong in the document": {func(_, b *keys.Keyset) { b.Key(1).State = keys.Primary }, "primary"},
	} {
		there, backup := everyState(), everyState()
		tc.change(there, backup)
		next, err := rotate.PlanForward(there, backup)
		switch {
		case tc.says == "" && (err != nil || next != backup):
			t.Errorf("%s: %+v, %v", what, next, err)
		case tc.says != "" && (err == nil || next != nil || !strings.Contains(err.Error(), tc.says)):
			t.Errorf("%s: %+v, %v, want %q", what, next, err, tc.says)
		case tc.says != "" && !strings.Contains(what, "wrong") && (!errors.Is(err, rotate.ErrRefused) || !strings.Contains(err.Error(), `keyset "ns/payments"`)):
			t.Errorf("%s: %v", what, err)
		}
	}
	k := everyState()
	if next, err := rotate.PlanForward(k, everyState()); err != nil || next != k {
		t.Errorf("as it is: %+v, %v", next, err)
	}
}
