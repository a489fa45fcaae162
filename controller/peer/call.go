package peer

import (
	"sync"

	"dvr/controller/service"
)

// call is a change that waits for its answer. Whoever takes it out of the
// forwarder's table, under its lock, settles it or gives it up; nobody else does.
type call struct {
	number uint64
	change service.Change
	record []byte // the form in which it travels; empty: not made yet
	size   int64  // as counted against the bounds
	done   chan struct{}

	given bool   // to the target, which has not answered
	at    target // that it was given to last
	sent  bool   // it may be stored though nobody says so
	doubt bool   // an attempt before the last one may be
	floor uint64 // revision of the state when it was first sent, plus one

	out service.Appended
	err error
}

var calls = sync.Pool{New: func() any { return &call{done: make(chan struct{}, 1)} }}

func newCall(c service.Change) *call {
	k := calls.Get().(*call)
	k.change = c
	return k
}

// free gives k back; nobody may hold it.
func (k *call) free() {
	record := k.record[:0]
	if cap(record) > 16<<10 {
		record = nil
	}
	*k = call{done: k.done, record: record}
	calls.Put(k)
}
