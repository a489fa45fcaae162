package node

import (
	"context"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"dvr/controller/archive"
	"dvr/controller/httpapi"
	"dvr/controller/service"
	"dvr/eventlog"
	"dvr/eventlog/etcdlog"
	"dvr/projector"
)

// archiving is what a node with ARCHIVE_DIR does beside the log.
type archiving struct {
	node   *Node
	dir    *archive.Directory
	log    *archive.Log
	writer *archive.Archivist
	// told is what the status tells: found out by who works on the archive, since a
	// file system that hangs must hold up nothing else.
	told atomic.Pointer[httpapi.ArchiveStatus]
}

const (
	// archiveEvery is how often the newest snapshot is looked at: so long after it
	// the archive has what lies behind it.
	archiveEvery = 10 * time.Second
	// archiveState bounds the rebuilding of a state that no snapshot holds.
	archiveState = time.Minute
	// sayAgain is how often a failure that lasts is logged.
	sayAgain = 10 * time.Minute
)

// newArchiving lays the archive under the log; nil: there is none.
func newArchiving(n *Node) *archiving {
	if n.settings.ArchiveDir == "" {
		return nil
	}
	a := &archiving{node: n, dir: archive.NewDirectory(n.settings.ArchiveDir)}
	a.log = archive.NewLog(n.near(), a.dir)
	a.writer = archive.NewArchivist(n.store, a.dir, n.settings.NodeID, n.version)
	a.writer.Now = n.now
	a.writer.State = func(ctx context.Context, r eventlog.Revision) (*projector.State, error) {
		ctx, cancel := context.WithTimeout(ctx, archiveState)
		defer cancel()
		return n.service.StateAt(ctx, r)
	}
	return a
}

// past is the log that questions about the past are answered from.
func (n *Node) past() service.History {
	if n.archive == nil {
		return n.near()
	}
	return n.archive.log
}

// near is the log for who reads of the past, which goes on where nobody leads.
func (n *Node) near() etcdlog.Near {
	return etcdlog.Near{Log: n.store, Unled: func() bool {
		u, ok := n.peers.exchange.Appender().(service.Unled)
		if !ok {
			return false
		}
		_, why := u.Unled()
		return why != nil
	}}
}

// truncatable is appender.KeeperOptions.Archive; nil: nothing is archived.
func (a *archiving) truncatable() func(context.Context, eventlog.Revision) error {
	if a == nil {
		return nil
	}
	return func(ctx context.Context, through eventlog.Revision) error {
		done := make(chan error, 2)
		beside(ctx, drainDirectories, func() {
			err := a.writer.Through(ctx, through)
			a.look()
			done <- err
		}, func() { done <- ctx.Err() })
		return <-done
	}
}

// run archives until ctx ends. What fails is said once, and again where it lasts.
func (a *archiving) run(ctx context.Context) {
	var said string
	var at time.Time
	t := time.NewTicker(archiveEvery)
	defer t.Stop()
	for {
		err := a.writer.Step(ctx)
		if err != nil && ctx.Err() == nil {
			if text := err.Error(); text != said || time.Since(at) >= sayAgain {
				said, at = text, time.Now()
				a.node.log.Error("archiving history: nothing is truncated until it works", zap.String("archive_dir", a.dir.Path()), zap.Error(err))
			}
		}
		a.look()
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
	}
}

// status is what /v1/status tells; nil: nothing is archived. Cost: an atomic load.
func (a *archiving) status() *httpapi.ArchiveStatus {
	if a == nil {
		return nil
	}
	if s := a.told.Load(); s != nil {
		return s
	}
	return &httpapi.ArchiveStatus{Directory: a.dir.Path()}
}

// look finds out what the status tells.
func (a *archiving) look() {
	out := &httpapi.ArchiveStatus{Directory: a.dir.Path(), Problem: a.log.Beyond()}
	if err := a.writer.Problem(); err != nil {
		out.Problem = err.Error()
	}
	r, err := a.dir.Survey()
	if err != nil {
		out.Problem = err.Error()
	} else if s := r.Newest(); s != nil {
		out.First, out.Last = s.First, s.Last
	}
	a.told.Store(out)
}
