package appender

import (
	"crypto/sha256"
	"hash"

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
	joined []joined      // requests that are answered by one of the commits
	stages []string
	state  *projector.State // frozen at tip when the batch leaves
}

// joined waits for the acknowledgement of a commit that another request made.
type joined struct {
	p   *Pending
	res Result
}

func newBatch(prev eventlog.Head, at int64, size, commits int) *batch {
	return &batch{
		raw:   make([]byte, lineRoom, lineRoom+size),
		prev:  prev,
		tip:   prev,
		tipAt: at,
		items: make([]*Pending, 0, commits),
	}
}

// fits reports whether a commit of that many bytes may still join. One commit
// alone may be as large as format 1 allows.
func (b *batch) fits(size int) bool {
	if len(b.items) == 0 {
		return true
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

// chain computes links of the hash chain with one reused SHA-256 state.
type chain struct{ digest hash.Hash }

func (c *chain) next(prev eventlog.Hash, commit []byte) (out eventlog.Hash) {
	if c.digest == nil {
		c.digest = sha256.New()
	}
	c.digest.Reset()
	c.digest.Write(prev[:])
	c.digest.Write(commit)
	c.digest.Sum(out[:0])
	return out
}
