package httpapi

import (
	"encoding/hex"
	"net/http"
	"strconv"

	"github.com/labstack/echo/v4"

	"dvr/controller/history"
	"dvr/eventlog"
)

func (s *Server) postCommit(c echo.Context) error {
	r := c.Request()
	q, err := parseQuery(r.URL.RawQuery, writeParams)
	if err != nil {
		return err
	}
	defer s.bodies.meter(r)()
	body := getBuffer()
	defer putBuffer(body)
	if err := readBody(r, body, maxCommitBody); err != nil {
		return err
	}
	given, err := decodeCommit(body.b)
	if err != nil {
		return err
	}
	m, err := mutation(r, &q, "/v1/commits", body.b)
	if err != nil {
		return err
	}
	if given.id != "" {
		if m.ID != "" && m.ID != given.id {
			return fieldError("id", "is another one than Idempotency-Key")
		}
		if !goodKey(given.id) {
			return fieldError("id", "must be 1 to 100 printable ASCII characters without slash, like an Idempotency-Key")
		}
		m.ID = given.id
	}
	if given.reason != "" {
		if m.Reason != "" {
			return fieldError("reason", "is given twice, in the query and the body")
		}
		m.Reason = given.reason
	}
	if err := unconditional(&m, "a commit of several items"); err != nil {
		return err
	}
	rec, err := s.service.Commit(r.Context(), &m, given.events)
	if err != nil {
		return err
	}
	if rec.Preview != nil {
		return s.previewed(c, rec.Preview)
	}
	b := getBuffer()
	defer putBuffer(b)
	o := b.object()
	o.str("status", "committed")
	o.str("id", rec.ID)
	o.uint("events", uint64(len(given.events)))
	s.receipt(c, o, &rec)
	o.end()
	return send(c, codeOf(http.StatusCreated, &rec), b)
}

var commitsParams = with(freshParams, "after", "cursor", "limit")

// commit puts one commit with its events as the log has them: of a staged one
// that is the event which stands for them.
func commit(o object, c *eventlog.Commit) {
	commitHead(o, c)
	o.list("events")
	for _, e := range c.Events {
		o.b = append(eventlog.AppendEvent(o.b, e), ',')
	}
	o.endList()
}

// commitHead puts what a commit says of itself, and how many events it has.
func commitHead(o object, c *eventlog.Commit) (events int) {
	o.uint("revision", uint64(c.Revision))
	o.str("id", c.ID)
	o.key("time")
	o.b = append(eventlog.AppendTime(append(o.b, '"'), c.Time), '"', ',')
	o.str("actor", c.Actor)
	o.optional("source", c.Source)
	o.optional("for", c.For)
	o.optional("reason", c.Reason)
	if len(c.Forced) > 0 {
		strs(o, "forced", c.Forced)
	}
	if len(c.Reverts) > 0 {
		o.list("reverts")
		for _, r := range c.Reverts {
			o.num(uint64(r))
		}
		o.endList()
	}
	if len(c.Via) > 0 {
		strs(o, "via", c.Via)
	}
	if c.Request != (eventlog.RequestHash{}) {
		o.str("request", hex.EncodeToString(c.Request[:]))
	}
	events = len(c.Events)
	if s := history.StageOf(c); s != nil {
		events = s.Events
	}
	o.uint("n", uint64(events))
	return events
}

// listCommits is a page of the log, written as it is read.
func (s *Server) listCommits(c echo.Context) error {
	r := c.Request()
	q, err := parseQuery(r.URL.RawQuery, commitsParams)
	if err != nil {
		return err
	}
	place, err := q.place()
	if err != nil {
		return err
	}
	after, err := q.revision(place)
	if err != nil {
		return err
	}
	limit, err := q.count("limit", 100, 1000)
	if err != nil {
		return err
	}
	how, err := q.read()
	if err != nil {
		return err
	}
	v, err := s.service.View(r.Context(), how, false)
	if err != nil {
		return err
	}
	at := v.State.Position()
	b := getBuffer()
	defer putBuffer(b)
	w := c.Response()
	// Revisions are dense, so the last of a page is known before it is read.
	next := ""
	if n := after + eventlog.Revision(limit); n < at.Revision {
		next = strconv.FormatUint(uint64(n), 10)
	}
	begin := func() {
		s.setView(w.Header(), v)
		if next != "" {
			w.Header()[headerCursor] = []string{next}
		}
		w.Header()["Content-Type"] = jsonType
		w.WriteHeader(http.StatusOK)
	}
	out := stream{c: c, b: b}
	b.b = append(b.b, `{"commits":[`...)
	n := 0
	err = s.service.Commits(r.Context(), after, limit, func(k *eventlog.Commit) error {
		if n > 0 {
			b.next()
		}
		n++
		o := b.object()
		commit(o, k)
		o.end()
		if len(b.b) >= flushAt && !w.Committed {
			begin()
		}
		if !out.step() {
			return out.ended
		}
		return nil
	})
	if err != nil {
		return err
	}
	if !w.Committed {
		begin()
	}
	b.b = append(b.b, ']', ',')
	o := object{b}
	if next != "" {
		o.uint("next", uint64(after)+uint64(limit))
	}
	o.uint("revision", uint64(at.Revision))
	o.end()
	b.b = append(b.b, '\n')
	if r.Method == http.MethodHead {
		return nil
	}
	out.flush()
	return out.ended
}
