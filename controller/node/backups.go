package node

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"dvr/controller/backup"
	"dvr/controller/httpapi"
	"dvr/projector"
)

// backups is what a node with BACKUP_DIR does beside the log: every node its own,
// so that no election, no leader's disk and no agreement stands between a cluster
// and its backups (docs/decisions/0025-care.md).
type backups struct {
	node     *Node
	began    time.Time
	mu       sync.Mutex // of the rotation
	rotation backup.Rotation
	// told is what the status tells: found out by who works on the directory, since
	// a file system that hangs must hold up nothing else.
	told atomic.Pointer[httpapi.BackupStatus]
}

// backupLook is how often it is looked whether a backup is due; a fraction of a
// short interval.
const backupLook = time.Minute

// newBackups prepares them; nil: none are made.
func newBackups(n *Node) *backups {
	s := n.settings
	if s.BackupDir == "" {
		return nil
	}
	b := &backups{node: n, began: n.now(), rotation: backup.Rotation{
		Dir: s.BackupDir, LogID: n.store.ID(), Every: s.BackupInterval, Keep: int(s.BackupKeep), Maker: backup.Maker{Node: s.NodeID, Program: n.version},
	}}
	b.told.Store(b.tell(backup.Rotated{}, ""))
	return b
}

// run makes backups until ctx ends. What fails is said once, and again where it lasts.
func (b *backups) run(ctx context.Context) {
	var said string
	var at time.Time
	t := time.NewTicker(min(backupLook, b.rotation.Every/4))
	defer t.Stop()
	for {
		if problem := b.step(b.node.now()); problem != "" && (problem != said || time.Since(at) >= sayAgain) {
			said, at = problem, time.Now()
			b.node.log.Error("a scheduled backup", zap.String("problem", problem))
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
	}
}

// step makes a backup if one is due, and gives what stands against one.
func (b *backups) step(now time.Time) (problem string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	got, err := b.rotation.Step(now, b.state)
	if err != nil {
		problem = err.Error()
	} else {
		problem = strings.Join(got.Bad, "; ")
	}
	b.told.Store(b.tell(got, problem))
	return problem
}

// state is what is backed up: the newest, of a node that may know it.
func (b *backups) state() (*projector.State, error) {
	if !b.node.health.quorum() {
		return nil, errNoQuorum
	}
	return b.node.appender.State(), nil
}

func (b *backups) tell(r backup.Rotated, problem string) *httpapi.BackupStatus {
	out := &httpapi.BackupStatus{
		Directory: b.rotation.Dir, Every: b.rotation.Every, Keep: b.rotation.Keep, Good: r.Good, Revision: r.Newest.Revision, Problem: problem, Since: b.began,
	}
	if r.Newest.Made > 0 {
		out.Made = time.UnixMilli(r.Newest.Made)
	}
	return out
}

// status is what /v1/status tells; nil: none are made. Cost: an atomic load.
func (b *backups) status() *httpapi.BackupStatus {
	if b == nil {
		return nil
	}
	return b.told.Load()
}
