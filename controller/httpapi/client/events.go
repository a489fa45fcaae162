package client

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
)

// Event is one message of a stream.
type Event struct {
	// ID, given back as After or LastEventID, goes on behind the message.
	ID   string
	Kind string
	Data []byte // JSON
}

// Events is a stream of messages. One goroutine reads it; Close may come from any.
type Events struct {
	body  io.ReadCloser
	lines *bufio.Reader
	id    string
}

const maxMessage = 4 << 20

var errLong = errors.New("a message of the stream is too long")

func (c *Client) events(ctx context.Context, r *request) (*Events, error) {
	r.accept("text/event-stream")
	body, _, err := c.open(ctx, r)
	if err != nil {
		return nil, err
	}
	return &Events{body: body, lines: bufio.NewReader(body)}, nil
}

// ID is the newest that the stream gave, heartbeats included.
func (e *Events) ID() string { return e.id }

// Next waits for the next message. At the stream's end it is io.EOF.
func (e *Events) Next() (Event, error) {
	var out Event
	for {
		line, err := e.line()
		if err != nil {
			return Event{}, err
		}
		if len(line) == 0 {
			if out.Data != nil {
				out.ID = e.id
				return out, nil
			}
			out = Event{}
			continue
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch string(name) {
		case "id":
			e.id = string(value)
		case "event":
			out.Kind = string(value)
		case "data":
			out.Data = append(out.Data, value...)
		}
	}
}

// line is one without its end.
func (e *Events) line() ([]byte, error) {
	var out []byte
	for {
		part, err := e.lines.ReadSlice('\n')
		if out = append(out, part...); len(out) > maxMessage {
			return nil, errLong
		}
		if err == nil {
			return bytes.TrimRight(out, "\r\n"), nil
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return nil, err
		}
	}
}

// Close ends the stream.
func (e *Events) Close() error { return e.body.Close() }
