package etcdlog

import (
	"errors"
	"fmt"

	"go.etcd.io/etcd/api/v3/mvccpb"

	"dvr/eventlog"
)

// chain picks the batches of the log out of the values found under its batch
// keys, in ascending order of keys. It is pure. A batch that continues the
// last one accepted is only a candidate: a foreign value may do so too. It is
// accepted when a later batch, or the head, names its hash. So at most the
// rival candidates for one place are held back, ordinarily one batch.
type chain struct {
	tip      eventlog.Head // newest accepted; its hash is unknown while !anchored
	anchored bool
	rivals   []link
	suspects []suspect
	path     map[eventlog.Revision]bool // last revisions of the log's batches ahead; nil: not known
	skip     func(line []byte) bool     // events that nobody asks for; nil: none
}

// link is a batch with its stored form.
type link struct {
	batch *eventlog.Batch
	kv    *mvccpb.KeyValue
}

// suspect is a value that continues nothing: foreign, or damaged.
type suspect struct {
	kv     *mvccpb.KeyValue
	detail string
	link   *link // when it is a well-formed batch
}

// newChain starts at a known head, or, with anchored false, before the batch
// that holds the revision after tip.Revision.
func newChain(tip eventlog.Head, anchored bool) *chain {
	return &chain{tip: tip, anchored: anchored}
}

// reach is the largest key that the next batch can have: a chain that has not
// gone on there has a hole.
func (c *chain) reach() eventlog.Revision {
	last := c.tip.Revision
	for _, r := range c.rivals {
		last = max(last, r.batch.Last())
	}
	return last + eventlog.MaxBatchCommits
}

// continues tells whether b can come right after the tip.
func (c *chain) continues(b *eventlog.Batch) bool {
	if c.anchored {
		return b.First() == c.tip.Revision+1 && b.Prev == c.tip.Hash
	}
	return b.First() <= c.tip.Revision+1
}

// push takes the value of the next key. It returns the batch that the value
// proves to be part of the log, if it does.
func (c *chain) push(kv *mvccpb.KeyValue, revision eventlog.Revision, d *eventlog.Decoder) *link {
	b, err := d.DecodeBatch(kv.Value)
	if err != nil {
		c.suspects = append(c.suspects, suspect{kv: kv, detail: err.Error()})
		return nil
	}
	if b.Last() != revision {
		c.suspects = append(c.suspects, suspect{kv: kv, detail: fmt.Sprintf("holds a batch that ends at revision %d", b.Last())})
		return nil
	}
	l := link{batch: b, kv: kv}
	for i, r := range c.rivals {
		if b.First() == r.batch.Last()+1 && b.Prev == r.batch.Hash {
			c.accept(i)
			c.rivals = append(c.rivals, l)
			return &r
		}
	}
	if c.continues(b) {
		c.rivals = append(c.rivals, l)
		return nil
	}
	c.suspects = append(c.suspects, suspect{kv: kv, detail: "a batch that does not continue the hash chain", link: &l})
	return nil
}

// finish returns the batch that the head proves, nil if there is none.
func (c *chain) finish(head eventlog.Head) *link {
	for i, r := range c.rivals {
		if r.batch.Last() == head.Revision && r.batch.Hash == head.Hash {
			c.accept(i)
			return &r
		}
	}
	return nil
}

func (c *chain) accept(i int) {
	for j := range c.rivals {
		if j != i {
			r := c.rivals[j]
			c.suspects = append(c.suspects, suspect{kv: r.kv, detail: "a batch that the log does not go on from", link: &r})
		}
	}
	b := c.rivals[i].batch
	c.rivals = nil
	c.tip.Revision, c.tip.Hash = b.Last(), b.Hash
	c.anchored = true
}

// takeSuspects hands over the values that are proved foreign: those that lie
// within what is accepted.
func (c *chain) takeSuspects() []suspect {
	taken := c.suspects
	c.suspects = nil
	return taken
}

// newerProgram tells whether an error of the decoder means that the log has
// outgrown this program: only if its head says so, for a foreign value may
// hold unknown members at any level.
func newerProgram(err error, head eventlog.Head) bool {
	return head.Level > eventlog.MaxLevel && errors.Is(err, eventlog.ErrLevel)
}
