package fibstream

import (
	"sync"

	"dvr/eventlog"
	"dvr/projector"
)

// tables compiles each router's FIB once a State, whoever asks.
type tables struct {
	mu sync.Mutex
	of map[eventlog.RouterID]*table
}

// table is the newest compiled FIB of one router.
type table struct {
	mu    sync.Mutex
	fib   *projector.FIB
	users int // guarded by tables.mu
}

// open gives router's table; close must follow.
func (t *tables) open(router eventlog.RouterID) *table {
	t.mu.Lock()
	defer t.mu.Unlock()
	x := t.of[router]
	if x == nil {
		x = &table{}
		t.of[router] = x
	}
	x.users++
	return x
}

// close forgets a table that nobody uses.
func (t *tables) close(router eventlog.RouterID, x *table) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if x.users--; x.users == 0 && t.of[router] == x {
		delete(t.of, router)
	}
}

// at is router's FIB at s or, where that was asked for already, at a later
// state. Cost: what changed since the last call.
func (x *table) at(router eventlog.RouterID, s *projector.State) *projector.FIB {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.fib != nil && !before(x.fib.Position(), s.Position()) {
		return x.fib
	}
	x.fib = s.FIB(router, x.fib)
	return x.fib
}

// before orders positions of one log: by epoch, then by revision.
func before(a, b eventlog.Position) bool {
	return a.Epoch < b.Epoch || a.Epoch == b.Epoch && a.Revision < b.Revision
}
