package fibstream

import "errors"

var (
	// ErrNoDataPlane: no data plane of that router is connected here.
	ErrNoDataPlane = errors.New("no data plane of the router is connected")
	// ErrNotFound: nothing matches the address in the data plane's FIB.
	ErrNotFound = errors.New("no route matches")
	// ErrBusy: too many lookups or audits wait for that data plane's answer.
	ErrBusy = errors.New("too many questions to that data plane are waiting")
	// ErrClosed: the server has been closed.
	ErrClosed = errors.New("the FIB server is closed")
)
