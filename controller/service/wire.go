package service

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"dvr/controller/appender"
	"dvr/eventlog"
)

// What a node passes to the one that appends, and what that answers in place of
// a commit. Both are records of length-prefixed strings (uvarint, bytes).

// Bits of a change record's first byte.
const (
	wireGenerated = 1 << iota
	wireOperation
	wireRequest
	wireOptions
	wireCaller
)

var errWire = errors.New("malformed record of another node")

// changeOptions is what few changes have.
type changeOptions struct {
	Force         bool                `json:"force,omitempty"`
	ConfirmWithin time.Duration       `json:"confirm_within,omitempty"`
	Reverts       []eventlog.Revision `json:"reverts,omitempty"`
	Basis         *appender.Basis     `json:"basis,omitempty"`
	Traceparent   string              `json:"traceparent,omitempty"`
}

func (c *Change) options() (o changeOptions, any bool) {
	any = c.Force || c.ConfirmWithin > 0 || len(c.Reverts) > 0 || c.Basis != nil || c.Traceparent != ""
	return changeOptions{c.Force, c.ConfirmWithin, c.Reverts, c.Basis, c.Traceparent}, any
}

// AppendChange appends the form in which c travels between nodes: flags, id,
// actor, source, reason, request hash where there is one, the caller's credential
// and whom it speaks for where there are any, then the operation's
// kind and JSON, or the events as stored lines; before those the options as JSON
// where there are any. The events must be well formed.
func AppendChange(dst []byte, c *Change) ([]byte, error) {
	flags := byte(0)
	if c.Generated {
		flags |= wireGenerated
	}
	if c.Operation != nil {
		flags |= wireOperation
	}
	if c.Request != (eventlog.RequestHash{}) {
		flags |= wireRequest
	}
	options, optional := c.options()
	if optional {
		flags |= wireOptions
	}
	if c.Caller.Credential != "" || c.Caller.For != "" {
		flags |= wireCaller
	}
	dst = append(dst, flags)
	for _, s := range [...]string{c.ID, c.Actor, c.Source, c.Reason} {
		dst = appendString(dst, s)
	}
	if flags&wireRequest != 0 {
		dst = append(dst, c.Request[:]...)
	}
	if flags&wireCaller != 0 {
		dst = appendString(appendString(dst, c.Caller.Credential), c.Caller.For)
	}
	if optional {
		raw, err := json.Marshal(&options)
		if err != nil {
			return dst, fmt.Errorf("options: %w", err)
		}
		dst = appendString(dst, string(raw))
	}
	if c.Operation == nil {
		return eventlog.AppendEventLines(dst, c.Events), nil
	}
	raw, err := json.Marshal(c.Operation)
	if err != nil {
		return dst, fmt.Errorf("operation %s: %w", c.Operation.Kind(), err)
	}
	return append(appendString(dst, c.Operation.Kind()), raw...), nil
}

// ChangeReader reads changes of one node; strings that repeat are kept once.
// Not safe for concurrent use; the zero value is ready.
type ChangeReader struct {
	events                eventlog.Decoder
	actor, source, reason string
	credential, onBehalf  string
}

// Read reads what AppendChange wrote; raw may be reused afterwards.
func (r *ChangeReader) Read(raw []byte) (Change, error) {
	if len(raw) == 0 {
		return Change{}, errWire
	}
	flags, in := raw[0], wireReader{raw: raw[1:]}
	c := Change{Generated: flags&wireGenerated != 0, ID: string(in.bytes())}
	c.Actor = again(in.bytes(), &r.actor)
	c.Source = again(in.bytes(), &r.source)
	c.Reason = again(in.bytes(), &r.reason)
	if flags&wireRequest != 0 {
		copy(c.Request[:], in.take(len(c.Request)))
	}
	if flags&wireCaller != 0 {
		c.Caller.Credential = again(in.bytes(), &r.credential)
		c.Caller.For = again(in.bytes(), &r.onBehalf)
	}
	if flags&wireOptions != 0 {
		var o changeOptions
		if err := json.Unmarshal(in.bytes(), &o); err != nil {
			return Change{}, fmt.Errorf("options: %w: %w", errWire, err)
		}
		c.Force, c.ConfirmWithin, c.Reverts, c.Basis, c.Traceparent = o.Force, o.ConfirmWithin, o.Reverts, o.Basis, o.Traceparent
	}
	if flags&wireOperation == 0 {
		if in.failed || c.ID == "" {
			return Change{}, errWire
		}
		var err error
		c.Events, err = r.events.DecodeEvents(in.raw)
		return c, err
	}
	kind := string(in.bytes())
	if in.failed || c.ID == "" {
		return Change{}, errWire
	}
	fresh, ok := operations[kind]
	if !ok {
		return Change{}, fmt.Errorf("operation %q: %w: this node does not know it yet", kind, ErrUnavailable)
	}
	c.Operation = fresh()
	if err := json.Unmarshal(in.raw, c.Operation); err != nil {
		return Change{}, fmt.Errorf("operation %s: %w: %w", kind, errWire, err)
	}
	return c, nil
}

// again is b as a string, last where it is equal.
func again(b []byte, last *string) string {
	if string(b) != *last {
		*last = string(b)
	}
	return *last
}

func appendString(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

type wireReader struct {
	raw    []byte
	failed bool
}

func (r *wireReader) take(n int) []byte {
	if n < 0 || n > len(r.raw) {
		r.raw, r.failed = nil, true
		return nil
	}
	b := r.raw[:n]
	r.raw = r.raw[n:]
	return b
}

func (r *wireReader) bytes() []byte {
	n, size := binary.Uvarint(r.raw)
	if size <= 0 || n > uint64(len(r.raw)-size) {
		r.raw, r.failed = nil, true
		return nil
	}
	r.raw = r.raw[size:]
	return r.take(int(n))
}

// wireErrors numbers the sentinels for good: a number is never used again.
// Where an error is several of them, the first counts.
var wireErrors = []struct {
	number byte
	err    error
}{
	{3, ErrUnknownRouter}, {4, ErrNotFound}, {5, ErrPrecondition}, {6, ErrConflict}, {7, ErrNoDataPlane}, {8, ErrIDReused},
	{9, ErrOverloaded}, {10, ErrOutcomeUnknown}, {11, eventlog.ErrNoSpace}, {12, ErrGone}, {13, ErrBehind}, {14, ErrTooLarge},
	{15, appender.ErrReserved}, {16, appender.ErrFault}, {17, ErrUnavailable}, {18, ErrKeyQuota}, {19, ErrGuarded},
	{20, ErrUnauthenticated}, {21, ErrForbidden},
}

const (
	wireField       = 1
	wireUnsupported = 2
)

// AppendError appends the form in which a refusal travels between nodes.
func AppendError(dst []byte, err error) []byte {
	var f *eventlog.FieldError
	var u *UnsupportedError
	switch {
	case errors.As(err, &u):
		return appendString(append(dst, wireUnsupported), u.Field)
	case errors.As(err, &f):
		return appendString(appendString(append(dst, wireField), f.Field), f.Reason)
	}
	number := byte(0)
	for _, e := range wireErrors {
		if errors.Is(err, e.err) {
			number = e.number
			break
		}
	}
	return appendString(append(dst, number), err.Error())
}

// ReadError reads what AppendError wrote: an error with the same text that is
// the same sentinel.
func ReadError(raw []byte) error {
	if len(raw) == 0 {
		return errWire
	}
	in := wireReader{raw: raw[1:]}
	text := string(in.bytes())
	switch raw[0] {
	case wireUnsupported:
		return &UnsupportedError{Field: text}
	case wireField:
		return &eventlog.FieldError{Field: text, Reason: string(in.bytes())}
	}
	out := &refusal{text: text}
	for _, e := range wireErrors {
		if e.number == raw[0] {
			out.is = e.err
		}
	}
	return out
}

// refusal is an error that another node answered.
type refusal struct {
	text string
	is   error // nil: none of ours
}

func (e *refusal) Error() string { return e.text }
func (e *refusal) Unwrap() error { return e.is }
