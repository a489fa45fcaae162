package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
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
)

var eventStreamType = []string{"text/event-stream"}

func number64(n uint64) string { return strconv.FormatUint(n, 10) }

var watchParams = []string{"prefix", "after", "consistency", "timeout"}

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
	q, err := parseQuery(r.URL.RawQuery, watchParams)
	if err != nil {
		return err
	}
	how, err := q.read()
	if err != nil {
		return err
	}
	limit := how.Timeout
	how.Timeout = 0
	// A browser resumes with the header, at the address that it began with.
	if id := r.Header.Get("Last-Event-ID"); id != "" {
		err = readPlace("Last-Event-ID", id, &how)
	} else if v := q.get("after"); v == "0" {
		how.MinRevision = 1 // from the beginning: the first commit holds no key
	} else if q.has("after") {
		err = readPlace("after", v, &how)
	}
	if err != nil {
		return err
	}
	if s.watchers.Add(1) > maxWatchers {
		s.watchers.Add(-1)
		return fmt.Errorf("%w: %d watches are in progress on this node", service.ErrOverloaded, maxWatchers)
	}
	defer s.watchers.Add(-1)
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	if limit > 0 {
		ctx, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	w, err := s.service.WatchKeys(ctx, how, q.get("prefix"))
	if err != nil {
		return err
	}
	h := c.Response().Header()
	s.setPosition(h, w.Position())
	h["Content-Type"] = eventStreamType
	h["Cache-Control"] = []string{"no-cache"}
	h["X-Accel-Buffering"] = []string{"no"}
	c.Response().WriteHeader(http.StatusOK)
	if r.Method == http.MethodHead {
		return nil
	}
	go func() { // ends with the call
		select {
		case <-s.stopping:
			cancel()
		case <-ctx.Done():
		}
	}()
	return s.pump(ctx, c, w)
}

// pump writes what the watch delivers until ctx ends, the client goes or the
// watch fails. None of it is an error of the call: the answer has begun.
func (s *Server) pump(ctx context.Context, c echo.Context, w *service.KeyWatch) error {
	b := getBuffer()
	defer putBuffer(b)
	out := stream{c: c, b: b}
	b.b = append(b.b, "retry: 1000\n"...)
	beat(b, w.Position())
	for {
		if !out.flush() {
			return nil
		}
		c.Response().Flush()
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
