package appender

import (
	"bytes"
	"strconv"

	"dvr/eventlog"
)

// form is the stored form of a commit whose revision and time are not known
// yet: it is encoded with revision 0 and time 0 in the caller's goroutine, and
// the loop only puts the two numbers in.
//
// The first `,"time":"` outside the head of the line is the commit's own: a
// quote inside the id is escaped, so an id cannot contain these bytes.
type form struct {
	bytes  []byte
	timeAt int // of the 24 bytes of the time
}

const (
	revisionHead = `{"revision":`
	formHead     = revisionHead + `0`
	timeLen      = len("2026-11-21T22:29:21.123Z")
)

var timeMember = []byte(`,"time":"`)

// encode fills f with c's form, in f's own buffer.
func (f *form) encode(c *eventlog.Commit) {
	c.Revision, c.Time = 0, placeholderTime
	f.bytes = eventlog.AppendCommit(f.bytes[:0], c)
	f.timeAt = bytes.Index(f.bytes, timeMember) + len(timeMember)
}

// appendTo appends the final bytes of the commit.
func (f *form) appendTo(dst []byte, r eventlog.Revision, time *[timeLen]byte) []byte {
	dst = append(dst, revisionHead...)
	dst = strconv.AppendUint(dst, uint64(r), 10)
	dst = append(dst, f.bytes[len(formHead):f.timeAt]...)
	dst = append(dst, time[:]...)
	return append(dst, f.bytes[f.timeAt+timeLen:]...)
}

// placeholderTime is any time that is well formed.
const placeholderTime = 1

// maxGrowth is how much longer the final bytes can be: 20 digits for 1.
const maxGrowth = 19
