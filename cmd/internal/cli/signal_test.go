package cli

import (
	"os"
	"syscall"
	"testing"
)

// Only a second SIGINT ends at once: SIGTERM after it, or twice, does not.
func TestSignals(t *testing.T) {
	for _, test := range []struct {
		signals   []os.Signal
		impatient int
	}{
		{[]os.Signal{os.Interrupt}, 0},
		{[]os.Signal{os.Interrupt, syscall.SIGTERM}, 0},
		{[]os.Signal{syscall.SIGTERM, syscall.SIGTERM}, 0},
		{[]os.Signal{syscall.SIGTERM, os.Interrupt}, 0},
		{[]os.Signal{os.Interrupt, syscall.SIGTERM, os.Interrupt}, 1},
	} {
		signals, killed := make(chan os.Signal), 0
		ctx, cancel := ended(signals, func() { killed++ })
		for _, s := range test.signals {
			signals <- s // taken one by one: the one before was handled
			<-ctx.Done()
		}
		signals <- syscall.SIGTERM
		if killed != test.impatient {
			t.Errorf("%v: killed %d times, want %d", test.signals, killed, test.impatient)
		}
		close(signals)
		cancel()
	}
}
