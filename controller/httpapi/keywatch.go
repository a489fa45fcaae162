package httpapi

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"dvr/controller/service"
	"dvr/eventlog"
)

const (
	// heartbeat is the longest silence of a watch: proxies close what is silent,
	// and a client must notice that its connection is dead.
	heartbeat = 15 * time.Second
	// maxWatchers bounds the watches in progress on one node.
	maxWatchers = 1024
	// actorWatchers bounds those of one actor.
	actorWatchers = maxWatchers / 4
)

var eventStreamType = []string{"text/event-stream"}

func number64(n uint64) string { return strconv.FormatUint(n, 10) }

var keyWatchParams = []string{"prefix", "after", "consistency", "timeout"}

// watchKeys is a stream of the changes of keys as server-sent events. The id of
// an event is a position; only the last of a commit's events has one, so that
// who resumes after it sees commits whole, if need be again. A heartbeat moves
// the id, too: it never falls out of the log for lack of changes.
//
// A reader that takes nothing for the limit of a write is cut; it holds one
// chunk of changes meanwhile. timeout ends the stream, without it only the
// client or the node's stop does.
func (s *Server) watchKeys(c echo.Context) error {
	r := c.Request()
	q, err := parseQuery(r.URL.RawQuery, keyWatchParams)
	if err != nil {
		return err
	}
	how, skip, err := readResumption(r, &q)
	if err != nil {
		return err
	}
	if skip > 0 {
		return fieldError("Last-Event-ID", "is of another stream")
	}
	return s.streamed(c, &how, func(ctx context.Context) (eventlog.Position, func(context.Context, *stream) error, error) {
		w, err := s.service.WatchKeys(ctx, how, q.get("prefix"))
		if err != nil {
			return eventlog.Position{}, nil, err
		}
		return w.Position(), func(ctx context.Context, out *stream) error { return s.pump(ctx, out, w) }, nil
	})
}

// pump writes what the watch delivers until ctx ends, the client goes or the
// watch fails. None of it is an error of the call: the answer has begun.
func (s *Server) pump(ctx context.Context, out *stream, w *service.KeyWatch) error {
	b := out.b
	beat(b, w.Position())
	for {
		if !out.flush() {
			return nil
		}
		out.c.Response().Flush()
		wait, done := context.WithTimeout(ctx, s.heartbeat)
		list, err := w.Next(wait)
		done()
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, context.DeadlineExceeded):
			beat(b, w.Position())
			continue
		case err != nil:
			b.b = append(append(append(b.b, ": ended: "...), oneLine(err.Error())...), "\n\n"...)
			out.flush()
			return nil
		}
		for i := range list {
			k := &list[i]
			for j := range k.Changes {
				if j == len(k.Changes)-1 {
					eventID(b, w.PositionOf(k.Revision))
				}
				keyEvent(b, k, &k.Changes[j])
				if !out.step() {
					return nil
				}
			}
		}
	}
}

// beat is a heartbeat: it moves the position and is no event.
func beat(b *buffer, at eventlog.Position) {
	eventID(b, at)
	b.b = append(b.b, ": heartbeat\n\n"...)
}

func eventID(b *buffer, at eventlog.Position) {
	b.b = append(append(b.b, "id: "...), at.String()...)
	b.b = append(b.b, '\n')
}

func keyEvent(b *buffer, k *service.KeyCommit, c *service.KeyChange) {
	kind := "put"
	if c.Deleted {
		kind = "delete"
	}
	b.b = append(append(append(b.b, "event: "...), kind...), "\ndata: "...)
	o := b.object()
	o.str("key", c.Key)
	if !c.Deleted {
		o.str("value", c.Value)
	}
	o.uint("revision", uint64(k.Revision))
	logTime(o, k.Time)
	o.str("actor", k.Actor)
	o.optional("reason", k.Reason)
	o.end()
	b.b = append(b.b, '\n', '\n')
}

// oneLine is a text that a comment can hold.
func oneLine(s string) string {
	out := []byte(s)
	for i, c := range out {
		if c == '\n' || c == '\r' {
			out[i] = ' '
		}
	}
	return string(out)
}
