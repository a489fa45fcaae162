package httpapi

import (
	"encoding/hex"
	"errors"
	"math"
	"net/http"
	"strconv"

	"github.com/labstack/echo/v4"

	"dvr/controller/history"
	"dvr/eventlog"
)

// maxEventsShown bounds a page of one commit's events. A commit that is not
// staged has less.
const maxEventsShown = 10_000

var commitParams = with(freshParams, "limit", "cursor")

// eventsPage is what is shown of one commit's events.
type eventsPage struct {
	at         eventlog.Revision
	from, most int
	stage      *eventlog.CommitStaged // nil: they are in the batch
	events     [][]byte               // encoded, from the batch
}

// take takes what a commit holds that is valid only while it is read.
func (p *eventsPage) take(c *eventlog.Commit) {
	if s := history.StageOf(c); s != nil {
		stage := *s
		p.stage = &stage
		return
	}
	from := min(p.from, len(c.Events))
	for _, e := range c.Events[from:min(from+p.most, len(c.Events))] {
		p.events = append(p.events, eventlog.AppendEvent(nil, e))
	}
}

// getCommit is one commit with its events: those of a staged one from its stage,
// page by page, or all of them as lines.
func (s *Server) getCommit(c echo.Context) error {
	r := c.Request()
	if _, err := s.view(c, commitParams); err != nil {
		return err
	}
	q, err := parseQuery(r.URL.RawQuery, commitParams)
	if err != nil {
		return err
	}
	n, err := number(c.Param("revision"))
	if err != nil {
		return fieldError("revision", "must be a whole number")
	}
	p := eventsPage{at: eventlog.Revision(n)}
	if p.most, err = q.count("limit", maxEventsShown, maxEventsShown); err != nil {
		return err
	}
	from, err := q.revision("cursor")
	if err != nil {
		return fieldError("cursor", "must be what `next` gave, a whole number")
	}
	p.from = int(min(from, math.MaxInt32))
	lines, err := wantsLines(r)
	if err != nil {
		return err
	}
	if lines {
		for _, name := range []string{"limit", "cursor"} {
			if q.has(name) {
				return fieldError(name, "has no meaning for a stream of everything")
			}
		}
		return s.streamEvents(c, &p)
	}
	b := getBuffer()
	defer putBuffer(b)
	o := b.object()
	of := 0
	if err := s.service.CommitAt(r.Context(), p.at, func(k *eventlog.Commit) error {
		of = commitHead(o, k)
		p.take(k)
		return nil
	}); err != nil {
		return err
	}
	if p.stage != nil {
		if p.events, err = s.service.StagedPage(r.Context(), p.at, p.stage, p.from, p.most); err != nil {
			return err
		}
		o.key("staged")
		e := o.object()
		e.str("id", p.stage.ID)
		e.uint("parts", uint64(p.stage.Parts))
		e.uint("bytes", uint64(p.stage.Bytes))
		e.str("sha256", hex.EncodeToString(p.stage.SHA256[:]))
		e.end()
		o.next()
	}
	o.list("events")
	for _, line := range p.events {
		o.b = append(append(o.b, line...), ',')
	}
	o.endList()
	if next := p.from + len(p.events); len(p.events) > 0 && next < of {
		o.uint("next", uint64(next))
		c.Response().Header()[headerCursor] = []string{strconv.Itoa(next)}
	}
	o.end()
	return send(c, http.StatusOK, b)
}

// streamEvents answers with every event of a commit, one a line.
func (s *Server) streamEvents(c echo.Context, p *eventsPage) error {
	ctx := c.Request().Context()
	p.most = math.MaxInt32
	if err := s.service.CommitAt(ctx, p.at, func(k *eventlog.Commit) error {
		p.take(k)
		return nil
	}); err != nil {
		return err
	}
	w := c.Response()
	begin := func() {
		w.Header()["Content-Type"] = ndjsonType
		w.WriteHeader(http.StatusOK)
	}
	b := getBuffer()
	defer putBuffer(b)
	out := stream{c: c, b: b}
	if p.stage == nil {
		for _, line := range p.events {
			b.b = append(append(b.b, line...), '\n')
		}
		begin()
	} else if err := s.service.StagedLines(ctx, p.at, p.stage, func(line []byte) error {
		if !w.Committed { // it is proven
			begin()
		}
		b.b = append(append(b.b, line...), '\n')
		if c.Request().Method == http.MethodHead || !out.step() {
			return errStreamEnds
		}
		return nil
	}); err != nil && !errors.Is(err, errStreamEnds) {
		return err
	}
	if c.Request().Method == http.MethodHead {
		return nil
	}
	out.flush()
	return out.ended
}

// errStreamEnds: nobody reads on.
var errStreamEnds = errors.New("the stream ends")
