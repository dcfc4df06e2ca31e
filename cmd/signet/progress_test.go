package main

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestWaitingShowsAfterASecondAndLeavesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var screen bytes.Buffer
		done := showWaiting(&screen, "waiting for Vault")
		time.Sleep(900 * time.Millisecond)
		done()
		if screen.Len() > 0 {
			t.Errorf("before a second has passed: %q", screen.String())
		}
		done = showWaiting(&screen, "waiting for Vault")
		time.Sleep(2500 * time.Millisecond)
		done()
		done()
		if want := "\r\x1b[Kwaiting for Vault … 1s\r\x1b[Kwaiting for Vault … 2s\r\x1b[K"; screen.String() != want {
			t.Errorf("screen %q, want %q", screen.String(), want)
		}
	})
}

func TestWhatIsNoTerminalIsToldNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		done := (&app{stderr: &log}).waiting("waiting for Vault")
		time.Sleep(time.Minute)
		done()
		if log.Len() > 0 {
			t.Errorf("stderr has %q", log.String())
		}
	})
}
