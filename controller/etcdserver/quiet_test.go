package etcdserver

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"testing"

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
	if logs.Len() != 0 {
		t.Errorf("written: %v", logs.All())
	}
	lg.Error(servingEntry, zap.Error(errors.New("too many open files")))
	lg.Error(servingEntry)
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
	if want := []string{servingEntry, servingEntry, stoppingEntry, "another entry", "simple token is not cryptographically signed?"}; !slices.Equal(got, want) {
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
