package projector

import (
	"sync"
	"sync/atomic"

	"dvr/projector/internal/spf"
)

// line is what topologies share that came one out of the other: the numbers of
// their routers and links, and the trees that were computed last.
type line struct {
	links atomic.Uint32 // numbers given so far
	mu    sync.Mutex
	trees map[int32]*kept // by source
	bytes int
	clock uint64
}

// rooted is a tree and the topology that it holds for.
type rooted struct {
	tree *spf.Tree // nil: the router has no number
	at   *stamp
}

type kept struct {
	rooted
	used uint64
}

// treeBytes bounds the trees that a line keeps for whoever asks again.
const treeBytes = 64 << 20

func newLine() *line { return &line{trees: map[int32]*kept{}} }

// tree is the shortest paths of a router (−1: nil) in this topology: was
// brought up to date, or what was kept, or computed from nothing. Cost: what
// changed since; from nothing, the links.
func (t *topology) tree(source int, was rooted) rooted {
	r, _ := t.treeWork(source, was)
	return r
}

func (t *topology) treeWork(source int, was rooted) (out rooted, w spf.Work) {
	if source < 0 {
		return rooted{at: t.at}, w
	}
	if was.at == t.at && was.tree != nil {
		return was, w
	}
	known := t.line.recall(int32(source))
	if known.at == t.at {
		return known, w
	}
	out = rooted{at: t.at}
	for _, r := range [2]rooted{was, known} {
		if r.tree == nil || r.tree.Source() != source {
			continue
		}
		if heads, ok := t.since(r.at); ok {
			out.tree, w = r.tree.Update(&t.graph, heads)
			break
		}
	}
	if out.tree == nil {
		out.tree, w = spf.New(&t.graph, source)
	}
	t.line.keep(int32(source), out)
	return out, w
}

func (l *line) recall(source int32) rooted {
	l.mu.Lock()
	defer l.mu.Unlock()
	k := l.trees[source]
	if k == nil {
		return rooted{}
	}
	l.clock++
	k.used = l.clock
	return k.rooted
}

func (l *line) keep(source int32, r rooted) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.clock++
	if k := l.trees[source]; k != nil {
		l.bytes -= k.tree.Bytes()
	}
	l.trees[source] = &kept{r, l.clock}
	l.bytes += r.tree.Bytes()
	for l.bytes > treeBytes && len(l.trees) > 1 {
		oldest, used := int32(-1), l.clock
		for s, k := range l.trees {
			if k.used < used {
				oldest, used = s, k.used
			}
		}
		l.bytes -= l.trees[oldest].tree.Bytes()
		delete(l.trees, oldest)
	}
}
