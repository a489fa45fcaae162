package httpapi

import (
	"net/http"
)

// routes is the table of calls; docs/decisions/0005-http-api.md describes them.
func (s *Server) routes() {
	const get, post, put, del = http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete

	s.add(get, "/health", s.health)
	s.add(get, "/livez", s.live)
	s.add(get, "/readyz", s.ready)
	s.add(get, "/version", s.versionInfo)
	s.add(get, "/metrics", s.metricsPage)
	s.add(get, "/cluster/status", s.clusterStatus)
	s.add(get, "/v1/status", s.status)
	s.add(get, "/v1/whoami", s.whoAmI)
	s.add(get, "/v1/auth", s.listAccess)
	s.add(get, "/v1/audit", s.listRefusals)

	s.add(get, "/routes", s.getTable)
	s.add(post, "/routes", s.postRoute)
	s.add(del, "/routes", s.deleteByQuery)
	s.add(get, "/routes/*", s.getRoute)
	s.add(put, "/routes/*", s.putRoute)
	s.add(del, "/routes/*", s.deleteRoute)

	s.add(get, "/v1/routes", s.listRoutes)
	s.add(post, "/v1/routes/import", s.importRoutes)
	s.add(get, "/v1/lookup", s.lookup)

	s.add(get, "/v1/diff", s.diff)
	s.add(get, "/v1/explain", s.explain)
	s.add(get, "/v1/blame/*", s.blame)
	s.add(get, "/v1/watch", s.watch)

	s.add(post, "/v1/commits", s.postCommit)
	s.add(get, "/v1/commits", s.listCommits)
	s.add(get, "/v1/commits/:revision", s.getCommit)
	s.add(post, "/v1/commits/:revision/confirm", s.confirmCommit)
	s.add(post, "/v1/rollback", s.rollback)
	s.add(get, "/v1/confirmations", s.listConfirmations)
	s.add(get, "/v1/timers", s.listTimers)
	s.add(del, "/v1/timers/:name", s.cancelTimer)
	s.add(post, "/v1/timers/:name/approve", s.approve)
	s.add(get, "/v1/guards", s.listGuards)
	s.add(put, "/v1/guards/:name", s.putGuard)
	s.add(del, "/v1/guards/:name", s.deleteGuard)
	s.add(get, "/v1/freezes", s.listFreezes)
	s.add(put, "/v1/freezes/:name", s.putFreeze)
	s.add(del, "/v1/freezes/:name", s.deleteFreeze)

	s.add(get, "/v1/routers", s.listRouters)
	s.add(get, "/v1/routers/:id", s.getRouter)
	s.add(put, "/v1/routers/:id", s.putRouter)
	s.add(del, "/v1/routers/:id", s.deleteRouter)
	s.add(post, "/v1/routers/:id/drain", s.setDrain)
	s.add(post, "/v1/routers/:id/undrain", s.setDrain)
	s.add(get, "/v1/routers/:id/vector", s.vector)
	s.add(get, "/v1/routers/:id/rib", s.rib)
	s.add(get, "/v1/routers/:id/fib", s.fib)

	s.add(get, "/v1/links", s.listLinks)
	s.add(get, "/v1/links/:a/:b", s.getLink)
	s.add(put, "/v1/links/:a/:b", s.putLink)
	s.add(del, "/v1/links/:a/:b", s.deleteLink)
	for _, method := range []string{post, put} {
		s.add(method, "/v1/links/:a/:b/down", s.setLinkState)
		s.add(method, "/v1/links/:a/:b/up", s.setLinkState)
	}
	s.add(get, "/v1/topology", s.exportTopology)
	s.add(post, "/v1/topology/import", s.importTopology)

	s.add(get, "/v1/dataplanes", s.dataPlanes)
	s.add(post, "/v1/dataplanes/:router/audit", s.auditDataPlane)

	s.add(get, "/v1/cluster/members", s.getMembers)
	s.add(post, "/v1/cluster/members", s.addMember)
	s.add(del, "/v1/cluster/members/:id", s.removeMember)
	s.add(post, "/v1/cluster/members/:id/promote", s.promoteMember)
	s.add(post, "/v1/cluster/leader", s.moveLeader)
	s.add(get, "/v1/backup", s.backup)
	s.add(get, "/v1/archive", s.archive)
	s.add(get, "/kv", s.listKeys)
	s.add(get, "/kv/*", s.getKey)
	s.add(put, "/kv/*", s.putKey)
	s.add(del, "/kv/*", s.deleteKey)
	s.add(get, "/v1/kv/history/*", s.keyHistory)
	s.add(get, "/v1/kv/watch", s.watchKeys)
}
