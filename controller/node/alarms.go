package node

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"dvr/controller/etcdserver"
	"dvr/controller/httpapi"
	"dvr/controller/peer"
)

// When alarms are raised; docs/operations.md has the table.
const (
	alarmsEvery = 5 * time.Second
	// diskReserve must be free beside a copy of the store, which is written when it
	// is defragmented: write-ahead log and snapshots.
	diskReserve = 256 << 20
	keysPercent = 90 // of KV_QUOTA
	// slowSync in more than one of slowShare flushes of the last slowWindow, where
	// there were slowLeast.
	slowSync   = 100 * time.Millisecond
	slowShare  = 100
	slowLeast  = 20
	slowWindow = time.Minute
	// stepLeast is by how much the clock goes another way than time does, within
	// alarmsEvery; it is told for stepTold.
	stepLeast = 2 * time.Second
	stepTold  = 10 * time.Minute
	// A backup is too old after so many intervals.
	backupIntervals = 2
)

// sensed is what alarms are judged by, at one moment.
type sensed struct {
	wall        time.Time     // by the clock
	running     time.Duration // since the start, whatever the clock does
	dir         string
	free        int64 // bytes of dir's file system; −1: not known
	size, quota int64 // of the store
	keys, most  int64 // of keys and values
	syncs       flushes
	skew        error // how far the clock is off the other nodes'
	certificate string
	archive     *httpapi.ArchiveStatus
	backup      *httpapi.BackupStatus
}

// flushes counts those of etcd's write-ahead log since the start.
type flushes struct{ all, slow uint64 }

// alarms finds out what somebody has to care for. Safe for concurrent use.
type alarms struct {
	mu        sync.Mutex // of what is not told
	last      *sensed
	began     []sensed // of the last slowWindow, oldest first
	stepped   time.Duration
	steppedAt time.Time     // by the clock, before the step
	steppedIn time.Duration // running
	told      atomic.Pointer[[]httpapi.Alarm]
	directory atomic.Pointer[peer.Directory] // where the other nodes tell theirs; nil: not yet
}

// list is what is in force. Cost: an atomic load.
func (a *alarms) list() []httpapi.Alarm {
	if p := a.told.Load(); p != nil {
		return *p
	}
	return nil
}

// everywhere are the alarms of all nodes that are there, by id: this node's as
// they are, the others' as they told them.
func (a *alarms) everywhere(self string) map[string][]httpapi.Alarm {
	out := map[string][]httpapi.Alarm{}
	if d := a.directory.Load(); d != nil {
		present, _ := d.Nodes()
		for _, n := range present {
			out[n.ID] = n.Alarms
		}
	}
	out[self] = a.list()
	return out
}

// judge finds the alarms.
func (a *alarms) judge(s sensed) (out []httpapi.Alarm) {
	a.mu.Lock()
	defer a.mu.Unlock()
	say := func(name, do, format string, args ...any) {
		out = append(out, httpapi.Alarm{Name: name, Detail: fmt.Sprintf(format, args...), Do: do})
	}
	if s.free >= 0 && s.free < diskReserve+s.size {
		say(httpapi.AlarmDiskFull, "free some, or a larger disk for DATA_DIR; the other nodes go on", "%d MiB are free in %s: this node ends when there is nothing left, and its store (%d MiB) cannot be copied to be made smaller", s.free>>20, s.dir, s.size>>20)
	}
	if s.quota > 0 && s.size >= s.quota/100*warnPercent {
		say(httpapi.AlarmStoreFull, "a larger ETCD_QUOTA, or a shorter history; in a shared etcd delete what is others'", "the store has %d %% of its quota; at %d %% changes are refused", s.size*100/s.quota, refusePercent)
	}
	if s.most > 0 && s.keys >= s.most/100*keysPercent {
		say(httpapi.AlarmKeysFull, "delete keys, or a larger KV_QUOTA at all nodes", "keys and values take %d %% of KV_QUOTA; at 100 %% those that grow are refused", s.keys*100/s.most)
	}
	if n, slow := a.window(&s); n >= slowLeast && slow*slowShare > n {
		say(httpapi.AlarmDiskSlow, "`dvr doctor` there; a disk of its own for DATA_DIR; if it leads, `dvr cluster transfer-leader`", "%d of %d flushes of the last minute took more than %v: changes wait for them", slow, n, slowSync)
	}
	if by, at := a.step(&s); by != 0 {
		say(httpapi.AlarmClock, "see to what sets the clock (chronyc tracking); order and data never depend on it, timers wait while it is off", "the clock was set %s by %v at %s", map[bool]string{true: "forward", false: "back"}[by > 0], by.Abs().Round(time.Millisecond), at.UTC().Format(time.RFC3339))
	} else if s.skew != nil {
		say(httpapi.AlarmClock, "see to what sets the clock (chronyc tracking); where this node leads, timers wait until it is right", "%v", s.skew)
	}
	if s.certificate != "" {
		detail, do, _ := strings.Cut(s.certificate, ": ")
		say(httpapi.AlarmCertificate, do, "%s", detail)
	}
	if s.archive != nil && s.archive.Problem != "" {
		say(httpapi.AlarmArchive, "mend ARCHIVE_DIR; a gap: `dvr log archive DIR` from a node that has it", "the archive: %s", s.archive.Problem)
	}
	if why := lacking(s.backup, s.wall); why != "" {
		say(httpapi.AlarmBackup, "mend BACKUP_DIR, move damaged files away; meanwhile `dvr backup FILE`", "%s", why)
	}
	a.last = &s
	return out
}

// lacking says why backups are not as they should be; empty: they are.
func lacking(b *httpapi.BackupStatus, now time.Time) string {
	if b == nil {
		return ""
	}
	since, what := b.Made, "the newest backup in %s is %v old, one is to be made every %v"
	if b.Good == 0 {
		since, what = b.Since, "there is no backup in %s, since %v; one is to be made every %v"
	}
	why := ""
	if age := now.Sub(since); age > backupIntervals*b.Every || b.Good == 0 && b.Problem != "" {
		why = fmt.Sprintf(what, b.Directory, age.Round(time.Second), b.Every)
	}
	switch {
	case b.Problem == "":
		return why
	case why == "" && b.Good == 0:
		return b.Problem
	case why == "":
		return "not every backup is good: " + b.Problem
	}
	return why + ": " + b.Problem
}

// window is how many flushes there were within slowWindow, and how many of them
// were slow.
func (a *alarms) window(s *sensed) (all, slow uint64) {
	for len(a.began) > 0 && s.running-a.began[0].running > slowWindow {
		a.began = a.began[1:]
	}
	a.began = append(a.began, *s)
	first := a.began[0].syncs
	return s.syncs.all - first.all, s.syncs.slow - first.slow
}

// step is by how much the clock was set lately, and when.
func (a *alarms) step(s *sensed) (time.Duration, time.Time) {
	if a.last != nil {
		by := s.wall.Round(0).Sub(a.last.wall.Round(0)) - (s.running - a.last.running)
		if by.Abs() >= stepLeast {
			a.stepped, a.steppedAt, a.steppedIn = by, a.last.wall, s.running
		}
	}
	if a.stepped != 0 && s.running-a.steppedIn > stepTold {
		a.stepped = 0
	}
	return a.stepped, a.steppedAt
}

// watchAlarms judges until ctx ends, and logs what begins and what ends.
func (n *Node) watchAlarms(ctx context.Context) {
	t := time.NewTicker(alarmsEvery)
	defer t.Stop()
	for {
		n.raise(n.alarms.judge(n.sense()))
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
	}
}

// raise puts alarms in force in the place of those before.
func (n *Node) raise(list []httpapi.Alarm) {
	before := n.alarms.list()
	has := func(in []httpapi.Alarm, name string) bool {
		return slices.ContainsFunc(in, func(x httpapi.Alarm) bool { return x.Name == name })
	}
	for _, x := range list {
		if !has(before, x.Name) {
			n.log.Warn("alarm", zap.String("alarm", x.Name), zap.String("detail", x.Detail), zap.String("do", x.Do))
		}
	}
	for _, x := range before {
		if !has(list, x.Name) {
			n.log.Info("the alarm has ended", zap.String("alarm", x.Name))
		}
	}
	n.alarms.told.Store(&list)
}

// sense reads what alarms are judged by.
func (n *Node) sense() sensed {
	p := n.health.polled.Load()
	s := sensed{
		wall: n.now(), running: time.Since(n.started), dir: n.settings.DataDir, free: -1, size: p.size, quota: p.quota,
		keys: n.appender.State().KeyBytes(), most: int64(n.keyQuota), skew: n.peers.exchange.Steady(),
		certificate: n.security().Alarm, archive: n.archive.status(), backup: n.backups.status(),
	}
	if n.etcd == nil {
		s.size, s.quota = 0, p.quota // it lies elsewhere, and so does what it is copied to
		if p.quota > 0 {
			s.size = p.size
		}
	} else {
		s.syncs = walFlushes()
	}
	var fs unix.Statfs_t
	if unix.Statfs(s.dir, &fs) == nil {
		s.free = int64(fs.Bavail) * int64(fs.Bsize)
	}
	return s
}

// walFlushes counts the flushes of the etcd in this process.
func walFlushes() (out flushes) {
	families, err := etcdserver.Metrics().Gather()
	if err != nil {
		return out
	}
	for _, f := range families {
		if f.GetName() != "etcd_disk_wal_fsync_duration_seconds" {
			continue
		}
		for _, m := range f.GetMetric() {
			h := m.GetHistogram()
			fast, limit := uint64(0), math.Inf(-1)
			for _, b := range h.GetBucket() { // the narrowest that is not below slowSync
				if u := b.GetUpperBound(); u > limit && (limit < slowSync.Seconds()) {
					fast, limit = b.GetCumulativeCount(), u
				}
			}
			out.all += h.GetSampleCount()
			out.slow += h.GetSampleCount() - fast
		}
	}
	return out
}
