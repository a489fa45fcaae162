package httpapi

import (
	"fmt"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"dvr/controller/backup"
)

// backup streams the state at one revision as a file that a new cluster can be
// made of (decision 20). Where it fails after its beginning the answer is cut,
// and the file has no trailer.
func (s *Server) backup(c echo.Context) error {
	r := c.Request()
	q, err := parseQuery(r.URL.RawQuery, readParams)
	if err != nil {
		return err
	}
	how, err := q.read()
	if err != nil {
		return err
	}
	v, err := s.service.Backup(r.Context(), how)
	if err != nil {
		return err
	}
	w := c.Response()
	s.setView(w.Header(), v)
	w.Header()["Content-Type"] = octetType
	w.Header().Set("Content-Disposition", fmt.Sprintf("attachment; filename=%q", fmt.Sprintf("dvr-%d.backup", v.State.Position().Revision)))
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodHead {
		return nil
	}
	return backup.Write(w, v.State, backup.Maker{Node: s.node.Status().NodeID, Program: s.version}, time.Now())
}
