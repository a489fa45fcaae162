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

// TestStartWithABrokenEtcd: what waits in an etcd that gave up does not keep a
// node that is starting, either; the error says why etcd did.
func TestStartWithABrokenEtcd(t *testing.T) {
	forever := make(chan struct{})
	defer close(forever)
	cause, failed := errors.New("etcd: no space left on device"), errors.New("fold the log")
	hangs := func() error { <-forever; return nil }
	n := &Node{broken: make(chan struct{})}
	if err := n.begin(func() error { return failed }, time.Hour); err != failed {
		t.Errorf("a start that fails: %v", err)
	}
	n.brokenBy = cause
	close(n.broken)
	if err := n.begin(hangs, time.Millisecond); !errors.Is(err, cause) || !strings.Contains(err.Error(), "holds up the start") {
		t.Errorf("a start that hangs: %v", err)
	}
	if err := n.begin(func() error { return failed }, time.Hour); !errors.Is(err, cause) || !errors.Is(err, failed) {
		t.Errorf("a start that fails since etcd gave up: %v", err)
	}
}
