package cli

import (
	"os"
	"os/signal"
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

// TestHangup: what was started to outlive its terminal does.
func TestHangup(t *testing.T) {
	signal.Ignore(syscall.SIGHUP)
	t.Cleanup(func() { signal.Reset(syscall.SIGHUP) })
	ctx, stop := untilHangup(t.Context())
	defer stop()
	if !signal.Ignored(syscall.SIGHUP) || ctx != t.Context() {
		t.Error("nohup is not heeded")
	}
}
