package appender

import (
	"crypto/sha256"
	"slices"
	"time"

	"dvr/eventlog"
	"dvr/projector"
)

// lineRoom is kept free in front of a batch's commits for the batch line,
// which names the last revision and so is written last. The longest line is
// about 300 bytes: a node's name has at most 63, six bytes a character escaped.
const lineRoom = 768

// batch is consecutive commits on their way into the log.
type batch struct {
	raw    []byte // lineRoom free bytes, then the commits
	prev   eventlog.Head
	tip    eventlog.Head // after the last commit; Guard unset
	tipAt  int64         // log time at tip
	items  []*Pending    // the commits, in order
	joined []joined      // requests whose answer rests on one of the commits
	stages []string
	state  *projector.State // frozen at tip when the batch leaves
	began  time.Time        // when its first commit was judged
	left   time.Time        // when it was given to the log
	// raises: it holds level.raised, and that alone, so that an older program
	// reads everything before it and stops exactly there.
	raises bool
	traced bool // somebody asks where the time of one of the items went
}

// joined waits for the acknowledgement of a commit that another request made:
// it is answered by that one, or refused for the state that it leads to.
type joined struct {
	p   *Pending
	res Result
	err error
}

// newBatch begins a batch in room, which is grown as needed.
func newBatch(prev eventlog.Head, at int64, room []byte, commits int) *batch {
	return &batch{
		raw:   slices.Grow(room[:0], lineRoom)[:lineRoom],
		prev:  prev,
		tip:   prev,
		tipAt: at,
		items: make([]*Pending, 0, commits),
		began: time.Now(),
	}
}

// fits reports whether a commit of that many bytes may still join. One commit
// alone may be as large as format 1 allows.
func (b *batch) fits(size int) bool {
	if len(b.items) == 0 {
		return true
	}
	if b.raises {
		return false
	}
	return len(b.items) < eventlog.MaxBatchCommits && len(b.raw)+size+maxGrowth <= eventlog.MaxBatchBytes
}

// seal writes the batch line in front of the commits and gives the stored bytes.
func (b *batch) seal(node string) []byte {
	var room [lineRoom]byte
	line := eventlog.AppendBatchLine(room[:0], b.tip.Epoch, b.prev.Revision+1, b.tip.Revision, len(b.items), node, b.prev.Hash)
	start := lineRoom - len(line)
	copy(b.raw[start:], line)
	return b.raw[start:]
}

// chain computes links of the hash chain. A common commit is copied behind the
// hash before it, which costs less than a streaming hash's state.
type chain struct{ buffer [4096]byte }

func (c *chain) next(prev eventlog.Hash, commit []byte) (out eventlog.Hash) {
	n := copy(c.buffer[:], prev[:])
	if len(commit) <= len(c.buffer)-n {
		n += copy(c.buffer[n:], commit)
		return sha256.Sum256(c.buffer[:n])
	}
	digest := sha256.New()
	digest.Write(prev[:])
	digest.Write(commit)
	digest.Sum(out[:0])
	return out
}
