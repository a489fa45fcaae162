package appender

import "errors"

var (
	// ErrBusy: the queue is full; nothing was stored, try again later.
	ErrBusy = errors.New("too many requests are waiting")
	// ErrClosed: the appender has been closed; nothing was stored.
	ErrClosed = errors.New("the appender is closed")
	// ErrWithdrawn: the caller's context ended while the request was still
	// waiting; nothing was stored and nothing will be.
	ErrWithdrawn = errors.New("given up while waiting; nothing was stored")
	// ErrIdempotencyMismatch: the same actor used the id for another request.
	ErrIdempotencyMismatch = errors.New("the id was used for another request")
	// ErrTooLarge: the commit exceeds what a batch holds and cannot be staged.
	ErrTooLarge = errors.New("the commit is too large")
	// ErrReserved: the event is written by the system alone.
	ErrReserved = errors.New("the event is reserved to the system")
	// ErrPrecondition is for Check and Prepare to wrap: the state is not what
	// the caller demanded.
	ErrPrecondition = errors.New("precondition failed")
	// ErrFault: Check or Prepare panicked; nothing was stored.
	ErrFault = errors.New("internal fault while preparing the request")
)
