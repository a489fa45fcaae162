package node

import (
	"context"
	"errors"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"dvr/eventlog"
	"dvr/eventlog/etcdlog"
)

func reading(size, inUse int64) []etcdlog.MemberStatus {
	return []etcdlog.MemberStatus{{Quota: 1000, Size: size, InUse: inUse}, {Quota: 0, Size: 1 << 40}}
}

func TestPressureRefusesBeforeTheQuota(t *testing.T) {
	core, logs := observer.New(zap.InfoLevel)
	now, made, takes := time.Unix(1000, 0), 0, time.Millisecond
	p := &pressure{log: zap.New(core), now: func() time.Time { return now }, recover: func(context.Context) error { made++; now = now.Add(takes); return nil }}
	for _, step := range []struct {
		size    int64
		refused bool
		made    int // attempts to make room so far
		logged  int
		pause   time.Duration
		takes   time.Duration // an attempt from here on
	}{
		{size: 100},
		{size: 700, logged: 1}, // warned once
		{size: 890, logged: 1},
		{size: 900, refused: true, made: 1, logged: 2},
		{size: 950, refused: true, made: 1, logged: 2},                                          // not again at once
		{size: 950, refused: true, made: 2, logged: 2, pause: recoverLeast, takes: time.Second}, // but soon
		{size: 950, refused: true, made: 2, logged: 2, pause: recoverShare*time.Second - 1},     // one that took long is not repeated so soon
		{size: 950, refused: true, made: 3, logged: 2, pause: 1, takes: time.Hour},
		{size: 950, refused: true, made: 3, logged: 2, pause: recoverMost - 1},
		{size: 950, refused: true, made: 4, logged: 2, pause: 1, takes: time.Millisecond},
		{size: 899, made: 4, logged: 3}, // writes resume
		{size: 500, made: 4, logged: 3},
		{size: 701, made: 4, logged: 4}, // and is warned of anew
	} {
		now = now.Add(step.pause)
		if step.takes > 0 {
			takes = step.takes
		}
		p.observe(t.Context(), reading(step.size, step.size/2))
		err := p.judge(nil, nil)
		if errors.Is(err, eventlog.ErrNoSpace) != step.refused {
			t.Errorf("at %d of 1000: judged %v", step.size, err)
		}
		if made != step.made || logs.Len() != step.logged {
			t.Errorf("at %d of 1000: %d attempts, %d log lines; want %d, %d", step.size, made, logs.Len(), step.made, step.logged)
		}
	}
}

func TestWhatShrinks(t *testing.T) {
	const mib = 1 << 20
	for _, test := range []struct {
		m    etcdlog.MemberStatus
		want bool
	}{
		{etcdlog.MemberStatus{Size: 100 * mib, InUse: mib, Quota: 8192 * mib}, false}, // small files are left alone
		{etcdlog.MemberStatus{Size: 300 * mib, InUse: 200 * mib, Quota: 8192 * mib}, false},
		{etcdlog.MemberStatus{Size: 300 * mib, InUse: 100 * mib, Quota: 8192 * mib}, true},
		{etcdlog.MemberStatus{Size: 80 * mib, InUse: 70 * mib, Quota: 100 * mib}, false},
		{etcdlog.MemberStatus{Size: 80 * mib, InUse: 50 * mib, Quota: 100 * mib}, true}, // near the quota sooner
	} {
		if got := shrinks(test.m); got != test.want {
			t.Errorf("%+v: %v", test.m, got)
		}
	}
}
