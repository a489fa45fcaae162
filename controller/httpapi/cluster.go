package httpapi

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/labstack/echo/v4"

	"dvr/controller/cluster"
	"dvr/controller/service"
)

// Cluster lists and changes the members; *cluster.Manager is one.
type Cluster interface {
	Members(ctx context.Context) (cluster.View, error)
	Add(ctx context.Context, c cluster.Candidate) (cluster.Admission, error)
	Remove(ctx context.Context, node string) error
	Promote(ctx context.Context, node string) error
	MoveLeader(ctx context.Context, node string) error
}

// members is the Cluster, or why there is none.
func (s *Server) members() (Cluster, error) {
	if s.cluster == nil {
		return nil, errExternal
	}
	return s.cluster, nil
}

// sendJSON answers with a value that is rarely asked for.
func (s *Server) sendJSON(c echo.Context, status int, v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return err
	}
	s.setPosition(c.Response().Header(), s.service.Position())
	b := getBuffer()
	defer putBuffer(b)
	b.b = append(b.b, raw...)
	return send(c, status, b)
}

type clusterBody struct {
	cluster.View
	Revision uint64 `json:"revision"`
}

func (s *Server) getMembers(c echo.Context) error {
	if _, err := parseQuery(c.Request().URL.RawQuery, nil); err != nil {
		return err
	}
	m, err := s.members()
	if err != nil {
		return err
	}
	v, err := m.Members(c.Request().Context())
	if err != nil {
		return err
	}
	if v.Stale {
		c.Response().Header()[headerStale] = yes
	}
	return s.sendJSON(c, http.StatusOK, clusterBody{v, uint64(s.service.Position().Revision)})
}

func (s *Server) addMember(c echo.Context) error {
	var body cluster.Candidate
	m, err := s.clusterChange(c, &body)
	if err != nil {
		return err
	}
	if err := s.useJoinToken(c.Request(), body.NodeID); err != nil {
		return err
	}
	a, err := m.Add(relayed(c.Request()), body)
	if err != nil {
		return err
	}
	return s.sendJSON(c, http.StatusOK, a)
}

// clusterChange reads what the changes of the cluster have in common; body may be nil.
func (s *Server) clusterChange(c echo.Context, body any) (Cluster, error) {
	r := c.Request()
	if _, err := parseQuery(r.URL.RawQuery, nil); err != nil {
		return nil, err
	}
	if body == nil {
		if err := noBody(r); err != nil {
			return nil, err
		}
		return s.members()
	}
	b := getBuffer()
	defer putBuffer(b)
	if err := readBody(r, b, maxObjectBody); err != nil {
		return nil, err
	}
	if err := decodeObject(b.b, body); err != nil {
		return nil, err
	}
	return s.members()
}

func (s *Server) removeMember(c echo.Context) error {
	r := c.Request()
	return s.memberAction(c, "member removed", func(m Cluster, ctx context.Context, node string) error {
		// First, so that who tries again after a failure finds the node still there.
		by := &service.Mutation{Actor: anonymous, Source: source(r)}
		caller(r.Header, by)
		if err := s.service.EndJoinTokens(ctx, by, node); err != nil {
			return err
		}
		return m.Remove(ctx, node)
	})
}

func (s *Server) promoteMember(c echo.Context) error {
	return s.memberAction(c, "member promoted", Cluster.Promote)
}

type memberChanged struct {
	NodeID   string `json:"node_id"`
	Status   string `json:"status"`
	Revision uint64 `json:"revision"`
}

func (s *Server) memberAction(c echo.Context, status string, act func(Cluster, context.Context, string) error) error {
	m, err := s.clusterChange(c, nil)
	if err != nil {
		return err
	}
	node, err := pathValue(c, "id")
	if err != nil {
		return err
	}
	if err := act(m, relayed(c.Request()), node); err != nil {
		return err
	}
	return s.sendJSON(c, http.StatusOK, memberChanged{node, status, uint64(s.service.Position().Revision)})
}

func (s *Server) moveLeader(c echo.Context) error {
	var body struct {
		NodeID string `json:"node_id"`
	}
	m, err := s.clusterChange(c, &body)
	if err != nil {
		return err
	}
	if body.NodeID == "" {
		return fieldError("node_id", "is needed: the voter that shall lead")
	}
	if err := m.MoveLeader(relayed(c.Request()), body.NodeID); err != nil {
		return err
	}
	return s.sendJSON(c, http.StatusOK, memberChanged{body.NodeID, "leader moved", uint64(s.service.Position().Revision)})
}
