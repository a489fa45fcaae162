package httpapi

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"dvr/controller/archive"
	"dvr/eventlog"
)

var archiveParams = with(freshParams, "after", "to")

// archive streams commits as a file of history (decision 23): from the batch that
// holds the commit after a revision on, at most so much as one file takes. Where it
// fails after its beginning the answer is cut, and the file has no trailer.
func (s *Server) archive(c echo.Context) error {
	r := c.Request()
	q, err := parseQuery(r.URL.RawQuery, archiveParams)
	if err != nil {
		return err
	}
	var of archive.Range
	for name, field := range map[string]*eventlog.Revision{"after": &of.After, "to": &of.To} {
		if !q.has(name) {
			continue
		}
		n, err := number(q.get(name))
		if err != nil || name == "to" && n == 0 {
			return fieldError(name, "must be a revision")
		}
		*field = eventlog.Revision(n)
	}
	how, err := q.read()
	if err != nil {
		return err
	}
	v, err := s.service.View(r.Context(), how, true)
	if err != nil {
		return err
	}
	newest := v.State.Position().Revision
	switch {
	case of.After > newest:
		return fieldError("after", "is a revision to come: the newest is %d", newest)
	case of.To > newest:
		return fieldError("to", "is a revision to come: the newest is %d", newest)
	case of.To == 0:
		of.To = newest
	}
	if of.To <= of.After {
		s.setView(c.Response().Header(), v)
		return c.NoContent(http.StatusNoContent)
	}
	w := &beginning{ResponseWriter: c.Response(), begin: func() {
		s.setView(c.Response().Header(), v)
		c.Response().Header()["Content-Type"] = octetType
		c.Response().Header().Set("Content-Disposition", fmt.Sprintf("attachment; filename=%q", fmt.Sprintf("dvr-after-%d.history", of.After)))
		c.Response().WriteHeader(http.StatusOK)
	}}
	if r.Method == http.MethodHead {
		w.start()
		return nil
	}
	err = s.service.WriteArchive(r.Context(), w, of, archive.Maker{
		LogID: v.State.Position().LogID, Node: s.node.Status().NodeID, Program: s.version, Now: time.Now(),
	})
	if errors.Is(err, archive.ErrNothing) { // a recovery took them meanwhile
		return c.NoContent(http.StatusNoContent)
	}
	return err
}

// beginning begins the answer with its first byte: what fails before is a problem.
type beginning struct {
	http.ResponseWriter
	begin func()
}

func (b *beginning) start() {
	if b.begin != nil {
		b.begin()
		b.begin = nil
	}
}

func (b *beginning) Write(p []byte) (int, error) {
	b.start()
	return b.ResponseWriter.Write(p)
}
