package etcdlog

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sort"
	"sync"

	"go.etcd.io/etcd/api/v3/mvccpb"

	"dvr/eventlog"
)

// The successor of a batch names its hash, but a foreign batch may have a
// foreign successor. So a stretch is delivered only after the hashes have been
// followed through it, without decoding events, to one that is trusted: that
// of the head, or one that an earlier proof passed on its way there.

const (
	proofSpacing = 256     // batches between two points that are kept, at most
	proofBytes   = 1 << 20 // and about their bytes: a read of one batch proves up to the next point
	maxProofs    = 1 << 16 // points kept; beyond, every second goes
)

// point is a revision at which a batch of the log ends, with its chain hash.
type point struct {
	revision eventlog.Revision
	hash     eventlog.Hash
}

// proofs are points that are proved, ascending. What is proved stays true: the
// log is only ever continued.
type proofs struct {
	mu     sync.Mutex
	points []point
}

// goal is the nearest trusted end of a stretch after the revision: a point, or
// the head.
func (p *proofs) goal(after eventlog.Revision, head eventlog.Head) eventlog.Head {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := sort.Search(len(p.points), func(i int) bool { return p.points[i].revision > after })
	if i < len(p.points) && p.points[i].revision < head.Revision {
		head.Revision, head.Hash = p.points[i].revision, p.points[i].hash
	}
	return head
}

// add keeps the points of a proof, which lie in one gap between those kept.
func (p *proofs) add(points []point) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.points = append(p.points, points...)
	slices.SortFunc(p.points, func(a, b point) int { return cmp.Compare(a.revision, b.revision) })
	p.points = slices.Compact(p.points) // two readers may have proved the same
	for len(p.points) > maxProofs {
		n := 0
		for i := 0; i < len(p.points); i += 2 {
			p.points[n] = p.points[i]
			n++
		}
		p.points = p.points[:n]
	}
}

// prove follows the hashes from the chain's tip to goal. It is content only
// where each value under a batch key is one of the log: anything else is a
// *brokenChain, which heal looks into. Cost: a read of the stretch and SHA-256.
func (l *Log) prove(ctx context.Context, c *chain, goal eventlog.Head, at int64) error {
	tip, anchored := c.tip, c.anchored
	broken := func(cause error) error { return &brokenChain{tip: tip.Revision, cause: cause} }
	var points []point
	batches, bytes := 0, 0 // since the last point
	err := l.eachBatch(ctx, tip.Revision+1, goal.Revision, at, func(kv *mvccpb.KeyValue, revision eventlog.Revision) error {
		if revision == 0 {
			return nil
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		line, hash, err := eventlog.HashBatch(kv.Value)
		switch {
		case newerProgram(err, goal):
			return fmt.Errorf("read log: %w", err)
		case err != nil || line.Last != revision:
			return broken(eventlog.ErrCorrupt)
		case line.First > tip.Revision+1:
			return broken(eventlog.ErrHole)
		case anchored && (line.First != tip.Revision+1 || line.Prev != tip.Hash):
			return broken(eventlog.ErrCorrupt)
		}
		tip.Revision, tip.Hash, anchored = line.Last, hash, true
		batches++
		if bytes += len(kv.Value); batches == proofSpacing || bytes >= proofBytes {
			points = append(points, point{line.Last, hash})
			batches, bytes = 0, 0
		}
		return nil
	}, func(next eventlog.Revision) error {
		if next > tip.Revision+eventlog.MaxBatchCommits {
			return broken(eventlog.ErrHole)
		}
		return nil
	})
	switch {
	case err != nil:
		return err
	case tip.Revision != goal.Revision:
		return broken(eventlog.ErrHole)
	case tip.Hash != goal.Hash:
		return broken(eventlog.ErrCorrupt)
	}
	if len(points) > 0 {
		l.proofs.add(append(points, point{goal.Revision, goal.Hash}))
	}
	return nil
}
