package client

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// Event is one server-sent event.
type Event struct {
	Kind string // "message" where the stream names none
	Data []byte // valid during the call only
}

const (
	// maxEventLine is longer than the longest line of the API: a value with
	// every byte escaped.
	maxEventLine = 1 << 20
	// silence is how long a stream may say nothing, heartbeats included, before
	// it is taken for dead.
	silence = 45 * time.Second
)

var errLongLine = errors.New("a line of the stream is too long")

// Events calls fn with the events of a stream until ctx ends or fn fails. A
// stream that breaks is resumed after the last event's id, at the next endpoint
// where one fails; patience is how long that may take. Events of what was cut
// in the middle come again. Errors: *Problem, ErrUnreachable, fn's own.
func (c *Client) Events(ctx context.Context, call Call, patience time.Duration, fn func(Event) error) error {
	call.Header = call.Header.Clone()
	if call.Header == nil {
		call.Header = http.Header{}
	}
	call.Header.Set("Accept", "text/event-stream")
	id := ""
	for {
		body, end, err := c.openEvents(ctx, call, patience)
		if err != nil {
			return err
		}
		c.follows(true)
		watchdog := time.AfterFunc(silence, end)
		given := false
		err = readEvents(body, &id, func() { watchdog.Reset(silence) }, func(e Event) error {
			err := fn(e)
			given = err != nil
			return err
		})
		watchdog.Stop()
		end()
		body.Close()
		c.follows(false)
		switch {
		case given, errors.Is(err, errLongLine):
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		}
		if id != "" {
			call.Header.Set("Last-Event-ID", id)
		}
		select {
		case <-time.After(c.pause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (c *Client) follows(open bool) {
	if c.Follows != nil {
		c.Follows(open)
	}
}

// openEvents opens the stream within patience; end ends it.
func (c *Client) openEvents(ctx context.Context, call Call, patience time.Duration) (io.ReadCloser, func(), error) {
	own, cancel := context.WithCancelCause(ctx)
	late := fmt.Errorf("%w within %s", ErrUnreachable, patience)
	timer := time.AfterFunc(patience, func() { cancel(late) })
	for {
		body, _, err := c.Stream(own, call)
		if err == nil && timer.Stop() {
			return body, func() { cancel(nil) }, nil
		}
		if err == nil {
			body.Close()
			err = late
		}
		var p *Problem
		retry := call.Header.Get("Last-Event-ID") != "" && !errors.As(err, &p) // it has been there
		if !retry || own.Err() != nil {
			timer.Stop()
			if cause := context.Cause(own); cause == late && !errors.As(err, &p) {
				err = late
			}
			cancel(nil)
			return nil, nil, err
		}
		select {
		case <-time.After(c.pause):
		case <-own.Done():
		}
	}
}

// readEvents reads a stream to its end. lastID is moved as the standard says: a
// blank line commits the id before it, with or without an event. alive is
// called for each line.
func readEvents(r io.Reader, lastID *string, alive func(), fn func(Event) error) error {
	lines := bufio.NewReaderSize(r, 64<<10)
	var kind, id string
	var data, long []byte
	hasID, hasData := false, false
	for {
		line, err := lines.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			if long = append(long, line...); len(long) > maxEventLine {
				return errLongLine
			}
			continue
		}
		if err != nil {
			return err // what is not ended by a blank line is no event
		}
		if len(long) > 0 {
			line = append(long, line...)
			long = line[:0]
		}
		alive()
		line = bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r"))
		if len(line) == 0 {
			if hasID {
				*lastID = id
			}
			if hasData {
				if kind == "" {
					kind = "message"
				}
				if err := fn(Event{kind, data}); err != nil {
					return err
				}
			}
			kind, data, hasID, hasData = "", data[:0], false, false
			continue
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch string(name) {
		case "id":
			if bytes.IndexByte(value, 0) < 0 {
				id, hasID = string(value), true
			}
		case "event":
			kind = string(value)
		case "data":
			if hasData {
				data = append(data, '\n')
			}
			if len(data)+len(value) > maxEventLine {
				return errLongLine
			}
			data, hasData = append(data, value...), true
		}
	}
}
