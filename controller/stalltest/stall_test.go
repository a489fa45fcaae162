package stalltest

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestWhatTheKernelSays(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"some avg10=62.41 avg60=65.14 avg300=72.19 total=1500000\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=7\n": 1500 * time.Millisecond,
		"": 0, "some": 0, "some total=x\n": 0,
	} {
		if got := pressure(text); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
	for text, want := range map[string]time.Duration{
		"cpu  3576062 139669 1009734 2152656 280188 0 106215 123 0 0\ncpu0 1 2 3 4 5 6 7 8 9 10\n": 1230 * time.Millisecond,
		"": 0, "cpu  1 2 3": 0, "intr 1 2 3 4 5 6 7 8 9": 0,
	} {
		if got := stolen(text); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}

// TestOversleepingIsLateness: what a sleep takes longer than asked, beyond what
// it does anyhow.
func TestOversleepingIsLateness(t *testing.T) {
	for slept, want := range map[time.Duration]time.Duration{0: 0, every: 0, every + slack: 0, every + slack + time.Minute: time.Minute} {
		if got := over(slept); got != want {
			t.Errorf("%v: %v, want %v", slept, got, want)
		}
	}
	synctest.Test(t, func(t *testing.T) { // whose sleeps are exact
		ended := make(chan struct{})
		time.AfterFunc(time.Minute+every/2, func() { close(ended) })
		if got := lateness(ended); got != 0 {
			t.Errorf("%v on a quiet machine", got)
		}
	})
}

// TestOwnTimeIsAtMostWhatPassed, and waiting for anything but the machine is
// part of it.
func TestOwnTimeIsAtMostWhatPassed(t *testing.T) {
	began := time.Now()
	own := Begin(t)
	before := taken()
	<-time.After(10 * every)
	waited := taken() - before
	if got, passed := own(), time.Since(began); got > passed || waited < every && passed < 15*every && got < 5*every {
		t.Errorf("%v of %v, %v of which the machine took", got, passed, waited)
	}
	Begin(t) // is ended by the test's end
}
