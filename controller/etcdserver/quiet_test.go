package etcdserver

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
	"google.golang.org/grpc"
)

func TestQuietDropsExactlyTheseEntries(t *testing.T) {
	core, logs := observer.New(zapcore.InfoLevel)
	lg := newFatalTrap().logger(zap.New(core)).With(zap.String("member", "n1"))
	closed := &net.OpError{Op: "accept", Net: "tcp", Err: net.ErrClosed}
	lg.Warn(singlePortEntry)
	lg.Warn(simpleTokenEntry)
	lg.Warn(unhealthyEntry)
	lg.Warn(closedEntry)
	lg.Warn(lostEntry)
	lg.Warn(raftEntry, zap.Error(errors.New("raft: stopped")))
	lg.Error(servingEntry, zap.Error(closed))
	lg.Error(servingEntry, zap.Error(errors.New("accept tcp 127.0.0.1:1: use of closed network connection")))
	lg.Error(servingEntry, zap.Error(http.ErrServerClosed))
	lg.Error(servingEntry, zap.Error(errors.New("mux: server closed")))
	lg.Error(servingEntry, zap.Error(grpc.ErrServerStopped))
	lg.Warn(stoppingEntry, zap.Error(closed))
	lg.Warn(stoppedEntry, zap.Error(closed))
	lg.Error(versionEntry, zap.Error(fmt.Errorf("cannot detect storage schema version: %w", errors.New("missing confstate information"))))
	if logs.Len() != 0 {
		t.Errorf("written: %v", logs.All())
	}
	lg.Error(servingEntry, zap.Error(errors.New("too many open files")))
	lg.Error(raftEntry)
	lg.Error(versionEntry, zap.Error(errors.New("disk full")))
	lg.Warn(stoppingEntry, zap.Error(errors.New("too many open files")))
	lg.Error("another entry", zap.Error(fmt.Errorf("serve: %w", closed)))
	lg.Warn("simple token is not cryptographically signed?")
	lg.Debug("below the level")
	var got []string
	for _, e := range logs.All() {
		got = append(got, e.Message)
		if e.ContextMap()["member"] != "n1" {
			t.Errorf("%s lost its context: %v", e.Message, e.ContextMap())
		}
	}
	if want := []string{servingEntry, raftEntry, versionEntry, stoppingEntry, "another entry", "simple token is not cryptographically signed?"}; !slices.Equal(got, want) {
		t.Errorf("written %q, want %q", got, want)
	}
}

// TestOrdinaryLifeIsQuiet: a start and a stop write nothing above info, but that
// the first seconds' work was broken off.
func TestOrdinaryLifeIsQuiet(t *testing.T) {
	core, logs := observer.New(zapcore.WarnLevel)
	config := loneConfig(t)
	config.Logger = zap.New(core)
	start(t, config).Close()
	for _, e := range logs.All() {
		if e.Message == "failed to update cluster version" {
			continue
		}
		t.Errorf("%s: %s %v", e.Level, e.Message, e.ContextMap())
	}
}

// TestRepeatsAreCounted: the same entry is written once and then every 30 s with
// the number of those in between; of another member, or at another level, it is
// another entry, and below a warning all are written.
func TestRepeatsAreCounted(t *testing.T) {
	core, logs := observer.New(zapcore.InfoLevel)
	began := time.Unix(1000, 0)
	clock := &handClock{now: began}
	lg := newFatalTrap().logger(zap.New(core, zap.WithClock(clock)))
	const entry = "waiting for ReadIndex response took too long, retrying"
	for i := range 121 { // a minute of one every half second
		clock.now = began.Add(time.Duration(i) * 500 * time.Millisecond)
		lg.With(zap.Int("n", i)).Warn(entry, zap.Int("sent-request-id", i))
	}
	var got []string
	for _, e := range logs.TakeAll() {
		got = append(got, fmt.Sprintf("%v:%v", e.Time.Sub(began), e.ContextMap()["repeated"]))
	}
	if want := []string{"0s:<nil>", "30s:59", "1m0s:59"}; !slices.Equal(got, want) {
		t.Errorf("written %v, want %v", got, want)
	}
	lg.Error(entry)
	for range 3 {
		lg.Warn("behind", zap.String("to", "a"))
		lg.Warn("behind", zap.String("to", "b"))
		lg.Info("good news")
	}
	if got := logs.Len(); got != 1+2+3 {
		t.Errorf("%d entries: %v", got, logs.All())
	}
	for i := range 10 * mostRepeats {
		lg.Warn(fmt.Sprint("formatted ", i))
	}
	if c, ok := lg.Core().(quietCore); !ok || len(c.repeats.of) > mostRepeats {
		t.Errorf("what is remembered is not bounded")
	}
}

type handClock struct{ now time.Time }

func (c *handClock) Now() time.Time                         { return c.now }
func (c *handClock) NewTicker(d time.Duration) *time.Ticker { return time.NewTicker(d) }
