package eventlog

import (
	"crypto/sha256"
	"hash"
	"strconv"
)

// AppendCommit appends the bytes of c: its commit line and event lines,
// newlines included. c.Epoch is not in them; the batch line carries it.
func AppendCommit(dst []byte, c *Commit) []byte {
	dst = appendCommitMembers(dst, c, len(c.Events))
	if len(c.Events) == 1 {
		dst = append(AppendEvent(append(dst, `,"event":`...), c.Events[0]), '}', '\n')
		return dst
	}
	return AppendEventLines(append(dst, '}', '\n'), c.Events)
}

// AppendCommitEncoded is AppendCommit for events that were encoded before by
// AppendEvent (one element each, no newline); c.Events is not looked at.
// Callers thus encode their own events in parallel.
func AppendCommitEncoded(dst []byte, c *Commit, events [][]byte) []byte {
	dst = appendCommitMembers(dst, c, len(events))
	if len(events) == 1 {
		dst = append(append(dst, `,"event":`...), events[0]...)
		return append(dst, '}', '\n')
	}
	dst = append(dst, '}', '\n')
	for _, e := range events {
		dst = append(append(dst, e...), '\n')
	}
	return dst
}

func appendCommitMembers(dst []byte, c *Commit, n int) []byte {
	dst = appendUint(dst, `{"revision":`, uint64(c.Revision))
	dst = appendMember(dst, `,"id":`, c.ID)
	dst = appendTime(dst, `,"time":`, c.Time)
	dst = appendMember(dst, `,"actor":`, c.Actor)
	dst = appendOptional(dst, `,"source":`, c.Source)
	dst = appendOptional(dst, `,"for":`, c.For)
	dst = appendOptional(dst, `,"reason":`, c.Reason)
	dst = appendStrings(dst, `,"forced":`, c.Forced)
	if len(c.Reverts) > 0 {
		dst = append(dst, `,"reverts":[`...)
		for i, r := range c.Reverts {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = strconv.AppendUint(dst, uint64(r), 10)
		}
		dst = append(dst, ']')
	}
	dst = appendStrings(dst, `,"via":`, c.Via)
	if c.Request != (RequestHash{}) {
		dst = appendHex(dst, `,"request":`, c.Request[:])
	}
	return strconv.AppendInt(append(dst, `,"n":`...), int64(n), 10)
}

// AppendBatchLine appends the first line of a batch, newline included. prev is h(first − 1).
func AppendBatchLine(dst []byte, epoch uint64, first, last Revision, commits int, by string, prev Hash) []byte {
	dst = strconv.AppendInt(append(dst, `{"format":`...), Format, 10)
	dst = appendUint(dst, `,"epoch":`, epoch)
	dst = appendUint(dst, `,"first":`, uint64(first))
	dst = appendUint(dst, `,"last":`, uint64(last))
	dst = appendUint(dst, `,"commits":`, uint64(commits))
	dst = appendMember(dst, `,"by":`, by)
	return append(appendHex(dst, `,"prev":`, prev[:]), '}', '\n')
}

// ChainHash is h(R) of the commit with these bytes when h(R−1) is prev.
func ChainHash(prev Hash, commitBytes []byte) Hash {
	var c chain
	return c.next(prev, commitBytes)
}

// chain computes links of the hash chain: with one reusable SHA-256 state, but
// for common commits, which to copy behind the hash before costs less. The link is
// a field because what an interface is handed escapes.
type chain struct {
	h    hash.Hash
	link Hash
	room [1024]byte
}

func (c *chain) next(prev Hash, b []byte) Hash {
	if len(prev)+len(b) <= len(c.room) {
		copy(c.room[:], prev[:])
		n := copy(c.room[len(prev):], b)
		return sha256.Sum256(c.room[:len(prev)+n])
	}
	if c.h == nil {
		c.h = sha256.New()
	}
	c.link = prev
	c.h.Reset()
	c.h.Write(c.link[:])
	c.h.Write(b)
	c.h.Sum(c.link[:0])
	return c.link
}
