package node

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"dvr/controller/appender"
	"dvr/eventlog"
	"dvr/eventlog/etcdlog"
	"dvr/projector"
)

// Shares of etcd's quota, in percent of the database file. Beyond the quota
// etcd refuses every write, compaction's bookkeeping included, until it is
// repaired; so writes stop here before.
const (
	warnPercent   = 70
	refusePercent = 90
	// A file that is mostly free pages is made smaller from this share on.
	shrinkPercent = 50
)

// Between two attempts to make space while writes are refused lies as much as the
// last one took, times recoverShare, within these bounds: who frees the store is
// not waited for long, and a large file, which answers nothing while it is
// defragmented, is not busy with that alone.
const (
	recoverLeast = 2 * time.Second
	recoverMost  = 30 * time.Second
	recoverShare = 9
)

// pressure watches how full the store is: it warns, refuses writes with
// eventlog.ErrNoSpace before etcd would, and has space made. judge is called
// by the appender's loop, observe by one goroutine.
type pressure struct {
	log     *zap.Logger
	recover func(context.Context) error
	now     func() time.Time
	volume  func() int64 // bytes of a file for the log so far, about (inFile); nil: not counted

	full   atomic.Int64 // percent when writes are refused, else 0
	last   atomic.Pointer[fullness]
	making atomic.Bool // room is being made
	warned bool
	again  time.Time // when space is to be made next, if it must be
}

// fullness is the fullest file as it was when the log had a volume.
type fullness struct{ size, quota, volume int64 }

// inFile is about what v takes of etcd's file before it is compacted: values in
// whole pages, and for each batch its key and another head.
func inFile(v appender.Volume) int64 { return v.Bytes + v.Bytes/8 + v.Batches<<10 }

// judge refuses every commit while the store is nearly full. Since a fast
// writer could pass from one reading to the next all that is left, it counts
// what was logged since the last.
func (p *pressure) judge(*projector.State, *eventlog.Commit) error {
	if p.making.Load() {
		return fmt.Errorf("%w: room is being made", eventlog.ErrNoSpace)
	}
	if r := p.last.Load(); r != nil && p.volume != nil && r.size+p.volume()-r.volume >= r.quota/100*refusePercent {
		return fmt.Errorf("%w: about %d %% of the quota are used", eventlog.ErrNoSpace, refusePercent)
	}
	if percent := p.full.Load(); percent != 0 {
		return fmt.Errorf("%w: %d %% of the quota are used, writes resume below %d %%", eventlog.ErrNoSpace, percent, refusePercent)
	}
	return nil
}

// observe takes in a reading of the members and, where writes are refused,
// tries to make space, which blocks.
func (p *pressure) observe(ctx context.Context, members []etcdlog.MemberStatus) {
	var percent, free int64
	var fullest fullness
	for _, m := range members {
		if m.Quota <= 0 {
			continue
		}
		if v := m.Size * 100 / m.Quota; v >= percent {
			percent, free = v, (m.Size-m.InUse)*100/max(m.Size, 1)
			fullest = fullness{size: m.Size, quota: m.Quota}
		}
	}
	if p.volume != nil && fullest.quota > 0 {
		fullest.volume = p.volume()
		p.last.Store(&fullest)
	}
	switch {
	case percent < warnPercent:
		p.warned = false
	case !p.warned:
		p.warned = true
		p.log.Warn("the store fills up: shorten the retention or raise ETCD_QUOTA", zap.Int64("percent_of_quota", percent), zap.Int64("percent_free_in_file", free))
	}
	if percent < refusePercent {
		if p.full.Swap(0) != 0 {
			p.log.Info("the store has room again, writes resume", zap.Int64("percent_of_quota", percent))
		}
		return
	}
	if p.full.Swap(percent) == 0 {
		p.log.Error("the store is nearly full, writes are refused until there is room", zap.Int64("percent_of_quota", percent))
	}
	if began := p.now(); !began.Before(p.again) {
		switch err := p.recover(ctx); {
		case errors.Is(err, errMakingRoom):
			return
		case err != nil && ctx.Err() == nil:
			p.log.Error("making room in the store", zap.Error(err))
		}
		ended := p.now()
		p.again = ended.Add(min(max(recoverShare*ended.Sub(began), recoverLeast), recoverMost))
	}
}

var errMakingRoom = errors.New("room is being made already")

// makeRoom runs one recovery at a time. Nothing is logged meanwhile: the little
// room there may be is for what makes more.
func (p *pressure) makeRoom(f func() error) error {
	if !p.making.CompareAndSwap(false, true) {
		return errMakingRoom
	}
	defer p.making.Store(false)
	return f()
}

// shrinks says whether defragmenting a member's file is worth the pause.
func shrinks(m etcdlog.MemberStatus) bool {
	free := (m.Size - m.InUse) * 100 / max(m.Size, 1)
	if m.Quota > 0 && m.Size*100/m.Quota >= warnPercent {
		return free >= 100-warnPercent
	}
	return m.Size > defragAbove && free >= shrinkPercent
}
