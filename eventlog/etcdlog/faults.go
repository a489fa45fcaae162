package etcdlog

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"dvr/eventlog"
)

// verdict is what an error says about a write.
type verdict int

const (
	unknown verdict = iota // it may have been applied, or may be later
	refused                // it was not applied and never will be
	noSpace                // refused for space; etcd may say so of a write that it applied
)

// refusals are the codes with which etcd turns a request away before
// proposing it.
var refusals = map[codes.Code]bool{
	codes.InvalidArgument:    true,
	codes.PermissionDenied:   true,
	codes.Unauthenticated:    true,
	codes.Unimplemented:      true,
	codes.FailedPrecondition: false, // mixes refusals and lost leadership
}

func judge(err error) verdict {
	switch {
	case errors.Is(err, rpctypes.ErrNoSpace):
		return noSpace
	case errors.Is(err, rpctypes.ErrTooManyRequests), errors.Is(err, rpctypes.ErrRequestTooLarge):
		return refused
	case refusals[codeOf(err)]:
		return refused
	}
	return unknown
}

func codeOf(err error) codes.Code {
	var e rpctypes.EtcdError
	if errors.As(err, &e) {
		return e.Code()
	}
	return status.Code(err)
}

// unavailable wraps a failed call so that both sentinel and cause are found.
func unavailable(operation string, err error) error {
	if errors.Is(err, rpctypes.ErrNoSpace) {
		return fmt.Errorf("%s: %w: %w", operation, eventlog.ErrNoSpace, err)
	}
	return fmt.Errorf("%s: %w: %w", operation, eventlog.ErrUnavailable, err)
}

// backoff paces repetitions: 5 ms doubling to 500 ms, with a random half so
// that nodes do not repeat in step.
type backoff struct{ next time.Duration }

const (
	firstPause = 5 * time.Millisecond
	lastPause  = 500 * time.Millisecond
)

// wait pauses; false when ctx ended.
func (b *backoff) wait(ctx context.Context) bool {
	b.next = min(max(2*b.next, firstPause), lastPause)
	timer := time.NewTimer(b.next/2 + rand.N(b.next/2))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

func (b *backoff) reset() { b.next = 0 }
