package node

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// TestStopOfABrokenEtcd: what waits in an etcd that gave up does not keep the
// process; everything else is waited for.
func TestStopOfABrokenEtcd(t *testing.T) {
	broken := make(chan struct{})
	close(broken)
	forever := make(chan struct{})
	defer close(forever)
	err := bounded("stop", func() error { <-forever; return nil }, broken, time.Millisecond)
	if err == nil || !strings.Contains(err.Error(), "end of the process") {
		t.Errorf("a stop that hangs: %v", err)
	}
	want := errors.New("listener")
	for _, b := range []<-chan struct{}{nil, broken, forever} {
		if err := bounded("stop", func() error { return want }, b, time.Hour); err != want {
			t.Errorf("a stop that ends: %v", err)
		}
	}
}
