package history

import "dvr/eventlog"

// batches are those that were read last, so that states near one that was asked
// for need no read: the log proves whatever is read of it by the hashes of a
// long stretch. Of who holds the archive's turn.
type batches struct {
	list  []*eventlog.Batch // read last at the end
	bytes int               // of their Raw
}

const (
	// batchesReach is how many revisions before one that is asked for are kept.
	batchesReach = 8192
	// batchesHold is their bytes as stored; decoded they take some times that.
	batchesHold = 6 << 20
)

// keep remembers a batch, if it has its bytes.
func (l *batches) keep(b *eventlog.Batch) {
	if b.Raw == nil {
		return
	}
	l.list = append(l.list, b)
	l.bytes += len(b.Raw)
	for l.bytes > batchesHold && len(l.list) > 1 {
		l.bytes -= len(l.list[0].Raw)
		l.list[0] = nil
		l.list = l.list[1:]
	}
}

// find is the batch that holds a revision; nil: it is not kept.
func (l *batches) find(r eventlog.Revision) *eventlog.Batch {
	for _, b := range l.list {
		if b.First() <= r && r <= b.Last() {
			return b
		}
	}
	return nil
}
