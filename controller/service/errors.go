package service

import (
	"errors"
	"fmt"

	"dvr/controller/appender"
	"dvr/controller/history"
	"dvr/eventlog"
)

// kindOf is an error that is another one, too, without repeating its text.
type kindOf struct {
	text string
	is   error
}

func (k kindOf) Error() string { return k.text }
func (k kindOf) Unwrap() error { return k.is }

// What a call can fail with. Each is wrapped with what it was about; bad input
// is an *eventlog.FieldError, a feature that the format knows and this version
// does not serve an *UnsupportedError.
var (
	// ErrNotFound: no such route, router, link, commit or data plane.
	ErrNotFound = errors.New("not found")
	// ErrRequired: a router that must have installed a change is unknown.
	ErrRequired = errors.New("require")
	// ErrUnknownRouter: a filter names a router that nothing declares, names or subscribes as.
	ErrUnknownRouter error = kindOf{"unknown router", ErrNotFound}
	// ErrPrecondition: If-Match or If-None-Match does not hold; nothing was stored.
	ErrPrecondition = errors.New("precondition failed")
	// ErrConflict: the state does not allow it; nothing was stored.
	ErrConflict = appender.ErrConflict
	// ErrGuarded: guard rails or freezes refuse the change; nothing was stored.
	ErrGuarded = appender.ErrGuarded
	// ErrUnauthenticated: nobody was authenticated, and authorization is in force; nothing was stored.
	ErrUnauthenticated = appender.ErrUnauthenticated
	// ErrForbidden: the caller may not do that; nothing was stored.
	ErrForbidden = appender.ErrForbidden
	// ErrReferred: something else still speaks of what is to be removed; nothing was stored.
	ErrReferred error = kindOf{"it stays until nothing refers to it", ErrConflict}
	// ErrNoDataPlane: the router's data plane is not connected. It is no fault of
	// this node, so asking again at once does not help.
	ErrNoDataPlane = errors.New("no data plane is connected")
	// ErrIDReused: the idempotency key belongs to another request.
	ErrIDReused = errors.New("the idempotency key was used for another request")
	// ErrOverloaded: back pressure; nothing was stored, try again later.
	ErrOverloaded = history.ErrOverloaded
	// ErrUnavailable: no quorum, or the node is not ready.
	ErrUnavailable = history.ErrUnavailable
	// ErrOutcomeUnknown: the deadline passed before it was known whether the commit is stored.
	ErrOutcomeUnknown = errors.New("the store did not confirm the change in time: it may be stored or not")
	// ErrBodyLate: the caller did not send the whole body within the call's time.
	ErrBodyLate = errors.New("the body did not end in time")
	// ErrUnseen: the commit is stored, and this node does not show it yet.
	ErrUnseen = errors.New("the change is stored, but this node has not come as far in time")
	// ErrGone: the revision or cursor is no longer retained.
	ErrGone = history.ErrGone
	// ErrBehind: the node has not reached the minimum revision in time.
	ErrBehind = history.ErrBehind
	// ErrTooLarge: more than a commit can hold.
	ErrTooLarge = errors.New("too large")
)

// UnsupportedError is a field or kind that the log's format has and this version does not serve.
type UnsupportedError struct{ Field string }

func (e *UnsupportedError) Error() string { return e.Field + ": not supported yet" }

// UnledError is an ErrUnavailable because the node that leads cannot be had: none
// does, or it is out of reach.
type UnledError struct {
	Err error
	// Node is who leads, or led last, and API the address of its API, host:port;
	// empty: not known.
	Node, API string
	Leads     bool // it leads still, as far as is known here
}

func (e *UnledError) Error() string { return e.Err.Error() }

// Unwrap gives the cause.
func (e *UnledError) Unwrap() error { return e.Err }

// MutationError is a failed mutation with the id under which it may be
// repeated safely.
type MutationError struct {
	ID  string
	Err error
}

func (e *MutationError) Error() string { return e.Err.Error() }

// Unwrap gives the cause.
func (e *MutationError) Unwrap() error { return e.Err }

func invalid(field, format string, args ...any) error {
	return &eventlog.FieldError{Field: field, Reason: fmt.Sprintf(format, args...)}
}

// prefixField puts a path before the field that an error names.
func prefixField(err error, path string) error {
	var f *eventlog.FieldError
	if errors.As(err, &f) {
		return &eventlog.FieldError{Field: path + f.Field, Reason: f.Reason}
	}
	var u *UnsupportedError
	if errors.As(err, &u) {
		return &UnsupportedError{Field: path + u.Field}
	}
	return err
}
