package projector

import (
	"crypto/sha256"
	"encoding/binary"

	"dvr/eventlog"
)

// The idempotency window: every commit of the last windowSpan of log time, at
// most windowMax of them.
const (
	windowSpan  = 10 * 60 * 1000 // ms
	windowMax   = 1_000_000
	windowChunk = 1024
)

// Seen is a remembered commit.
type Seen struct {
	Revision eventlog.Revision
	Request  eventlog.RequestHash
	Time     int64
}

// Window describes the idempotency window in force.
type Window struct {
	Commits int
	Since   int64 // log time of the oldest, Unix ms
}

// memory is a commit in the window; its revision follows from its place.
type memory struct {
	key     [16]byte // first 128 bits of SHA-256(actor ‖ 0 ‖ id)
	request eventlog.RequestHash
	time    int64 // log time minus the shift when it was added
}

type memoryChunk [windowChunk]memory

// windowView is the window of a State. The writer shares chunks with it and
// only ever writes places behind last.
type windowView struct {
	chunks      []*memoryChunk    // chunk i holds revisions from origin + i·windowChunk
	origin      eventlog.Revision // revision of the first place of chunks[0]
	first, last eventlog.Revision // remembered; empty: last < first
	shift       int64             // what the clock was stepped by
}

// window is the writer's: the view and an index over it.
type window struct {
	windowView
	index     keyIndex
	unindexed bool // nothing is looked for: a past state is folded
}

func windowKey(scratch *[]byte, actor, id string) [16]byte {
	b := append((*scratch)[:0], actor...)
	b = append(b, 0)
	b = append(b, id...)
	*scratch = b
	sum := sha256.Sum256(b)
	return [16]byte(sum[:16])
}

func (w *windowView) at(r eventlog.Revision) *memory {
	i := uint64(r - w.origin)
	return &w.chunks[i/windowChunk][i%windowChunk]
}

// len is 0 only before the first commit: a commit never outlives itself.
func (w *windowView) len() int {
	if len(w.chunks) == 0 {
		return 0
	}
	return int(w.last + 1 - w.first)
}

func (w *windowView) info() Window {
	if w.len() == 0 {
		return Window{}
	}
	return Window{Commits: w.len(), Since: w.at(w.first).time + w.shift}
}

func (w *window) view() windowView {
	v := w.windowView
	v.chunks = v.chunks[:len(v.chunks):len(v.chunks)]
	return v
}

// add remembers the next commit and forgets what is too old then.
func (w *window) add(r eventlog.Revision, time int64, key [16]byte, request eventlog.RequestHash) {
	w.append(r, key, request, time)
	for w.len() > windowMax || w.at(w.first).time+w.shift < time-windowSpan {
		if !w.unindexed {
			w.index.remove(w, w.first)
		}
		w.first++
		if w.first-w.origin == windowChunk {
			w.chunks = w.chunks[1:]
			w.origin += windowChunk
		}
	}
}

// append remembers a commit; revisions come without a gap.
func (w *window) append(r eventlog.Revision, key [16]byte, request eventlog.RequestHash, time int64) {
	if w.len() == 0 {
		w.origin, w.first = r, r
	}
	if uint64(r-w.origin) == uint64(len(w.chunks))*windowChunk {
		w.chunks = append(w.chunks, new(memoryChunk))
	}
	w.last = r
	*w.at(r) = memory{key, request, time - w.shift}
	if !w.unindexed {
		w.index.put(w, key, r)
	}
}

// step moves the remembered times with the clock.
func (w *window) step(by int64) { w.shift += by }

func (w *window) find(key [16]byte) (Seen, bool) {
	r := w.index.find(w, key)
	if r == 0 {
		return Seen{}, false
	}
	m := w.at(r)
	return Seen{Revision: r, Request: m.request, Time: m.time + w.shift}, true
}

// resume is a writer that continues the view. It copies the last chunk, whose
// free places the view's own writer may be filling.
func (w windowView) resume() window {
	n := w.resumeUnindexed()
	n.unindexed = false
	for r := n.first; len(n.chunks) > 0 && r <= n.last; r++ {
		n.index.put(&n, n.at(r).key, r)
	}
	return n
}

// resumeUnindexed is resume without the index.
func (w windowView) resumeUnindexed() window {
	n := window{windowView: w, unindexed: true}
	n.chunks = append([]*memoryChunk(nil), w.chunks...)
	if len(n.chunks) > 0 {
		c := new(memoryChunk)
		base := n.origin + eventlog.Revision(len(n.chunks)-1)*windowChunk
		copy(c[:], n.chunks[len(n.chunks)-1][:n.last+1-base])
		n.chunks[len(n.chunks)-1] = c
	}
	return n
}

// digest is the second sum of a snapshot's header.
func (w *windowView) digest() (d Digest) {
	var b [48]byte
	for r := w.first; len(w.chunks) > 0 && r <= w.last; r++ {
		m := w.at(r)
		copy(b[:], m.key[:])
		copy(b[16:], m.request[:])
		binary.LittleEndian.PutUint64(b[32:], uint64(m.time+w.shift))
		binary.LittleEndian.PutUint64(b[40:], uint64(r))
		d = d.Add(hashItem(b[:]))
	}
	return d
}

// keyIndex tells the newest revision with a key. It is a thousand small tables,
// each of which grows by itself, so that no commit waits until all keys of the
// window have moved: that took up to 70 ms.
type keyIndex struct{ parts []keyTable } // made with the first key

const indexParts = 1024

func (x *keyIndex) part(key [16]byte) *keyTable {
	return &x.parts[binary.LittleEndian.Uint16(key[8:])%indexParts]
}

func (x *keyIndex) find(w *window, key [16]byte) eventlog.Revision {
	if x.parts == nil {
		return 0
	}
	return x.part(key).find(w, key)
}

func (x *keyIndex) put(w *window, key [16]byte, r eventlog.Revision) {
	if x.parts == nil {
		x.parts = make([]keyTable, indexParts)
	}
	x.part(key).put(w, key, r)
}

func (x *keyIndex) remove(w *window, r eventlog.Revision) { x.part(w.at(r).key).remove(w, r) }

// keyTable is an open hash table. The keys lie in the window; they are hashes, so
// any of their bits serve. A slot holds tagBits of the key beside the revision, so
// that a key that is not there is told apart without a look at the window.
type keyTable struct {
	slots []uint64 // 0: free
	n     int
}

const (
	tagBits = 20
	tagMask = (1<<tagBits - 1) << (64 - tagBits)
)

// tag is the part of the key in a slot; never 0, and of other bits than the place.
func tag(key [16]byte) uint64 {
	return (binary.LittleEndian.Uint64(key[8:]) | 1<<63) & tagMask
}

func (x *keyTable) place(key [16]byte) int {
	return int(binary.LittleEndian.Uint64(key[:]) & uint64(len(x.slots)-1))
}

// revision is that of a slot. The window is far shorter than the numbers that
// the slot's low bits can tell apart.
func (w *windowView) revision(slot uint64) eventlog.Revision {
	return w.first + eventlog.Revision((slot-uint64(w.first))&^tagMask)
}

// is reports that the slot is that of key.
func (w *windowView) is(slot uint64, key [16]byte) bool {
	return slot&tagMask == tag(key) && w.at(w.revision(slot)).key == key
}

func (x *keyTable) find(w *window, key [16]byte) eventlog.Revision {
	if x.n == 0 {
		return 0
	}
	slot := x.slots[x.free(w, key)]
	if slot == 0 {
		return 0
	}
	return w.revision(slot)
}

func (x *keyTable) put(w *window, key [16]byte, r eventlog.Revision) {
	if 2*x.n >= len(x.slots) {
		old := x.slots
		x.slots = make([]uint64, max(8, 2*len(old)))
		for _, s := range old {
			if s != 0 {
				x.slots[x.free(w, w.at(w.revision(s)).key)] = s
			}
		}
	}
	i := x.free(w, key)
	if x.slots[i] == 0 {
		x.n++
	}
	x.slots[i] = tag(key) | uint64(r)&^tagMask
}

// free is the slot of key, or the one where it goes.
func (x *keyTable) free(w *window, key [16]byte) int {
	i := x.place(key)
	for x.slots[i] != 0 && !w.is(x.slots[i], key) {
		i = (i + 1) & (len(x.slots) - 1)
	}
	return i
}

// remove forgets r, unless a newer commit has its key. What was displaced by
// it moves up, so no grave is left.
func (x *keyTable) remove(w *window, r eventlog.Revision) {
	i := x.free(w, w.at(r).key)
	if w.revision(x.slots[i]) != r {
		return
	}
	x.n--
	mask := len(x.slots) - 1
	for j := i; ; {
		x.slots[i] = 0
		for {
			j = (j + 1) & mask
			if x.slots[j] == 0 {
				return
			}
			home := x.place(w.at(w.revision(x.slots[j])).key)
			if (j-home)&mask >= (j-i)&mask {
				break
			}
		}
		x.slots[i] = x.slots[j]
		i = j
	}
}
