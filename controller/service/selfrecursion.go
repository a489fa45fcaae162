package service

import (
	"dvr/controller/appender"
	"dvr/eventlog"
	"dvr/projector"
)

// resolvesOnlyItself refuses a recursive route that could never forward, at the
// state before it: for calls about one destination. Of a commit or an import another
// part may bring what resolves it; the appender judges them at their end.
func resolvesOnlyItself(st *projector.State, r *eventlog.RouteAnnounced) error {
	if st.OnlyItself(r) {
		return invalid("next_hop", appender.OnlyItself)
	}
	return nil
}
