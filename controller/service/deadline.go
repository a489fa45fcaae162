package service

import (
	"context"
	"sync/atomic"
	"time"
)

// deadlines gives calls with the default timeout a context that they share:
// a timer of its own costs a call more than everything else in this package.
// A shared one ends up to granule late. It does not end with the caller's
// connection: a commit that was asked for is finished anyway.
type deadlines struct{ current atomic.Pointer[deadline] }

type deadline struct {
	ctx   context.Context
	stale time.Time // when the next call needs a later one
}

const granule = 250 * time.Millisecond

func (d *deadlines) get() context.Context {
	now := time.Now()
	if c := d.current.Load(); c != nil && now.Before(c.stale) {
		return c.ctx
	}
	ctx, cancel := context.WithTimeout(context.Background(), DefaultTimeout+granule)
	context.AfterFunc(ctx, cancel) // its timer ends it; a few live at a time
	d.current.Store(&deadline{ctx, now.Add(granule)})
	return ctx
}
