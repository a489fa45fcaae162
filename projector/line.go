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
	if out, w, ok := t.follow(source, was); ok {
		return out, w // who had it has it: it is not kept twice
	}
	out, w, ok := t.follow(source, t.line.recall(int32(source)))
	if !ok {
		out.tree, w = spf.New(&t.graph, source)
		out.at = t.at
	}
	t.line.keep(int32(source), out)
	return out, w
}

// follow brings an earlier tree up to date; false: it is none.
func (t *topology) follow(source int, was rooted) (out rooted, w spf.Work, ok bool) {
	if was.tree == nil || was.tree.Source() != source {
		return out, w, false
	}
	heads, ok := t.since(was.at)
	if !ok {
		return out, w, false
	}
	if len(heads) == 0 {
		return was, w, true
	}
	tree, w := was.tree.Update(&t.graph, heads)
	return rooted{tree, t.at}, w, true
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
		k.used = l.clock
		if k.at == r.at {
			return
		}
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
