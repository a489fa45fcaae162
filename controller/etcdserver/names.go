package etcdserver

import "go.etcd.io/etcd/client/pkg/v3/types"

// MemberName is the node id of a member, as far as this one knows; empty:
// unknown, or it has not started yet.
func (s *Server) MemberName(id uint64) string {
	if m := s.etcd.Server.Cluster().Member(types.ID(id)); m != nil {
		return m.Name
	}
	return ""
}
