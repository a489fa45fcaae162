package httpapi

import (
	"encoding/hex"
	"net/http"
	"runtime"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"dvr/controller/fibstream"
	"dvr/eventlog"
)

func (s *Server) plain(c echo.Context) error {
	if _, err := parseQuery(c.Request().URL.RawQuery, nil); err != nil {
		return err
	}
	s.setPosition(c.Response().Header(), s.service.Position())
	return nil
}

// health is the seed's probe: 200 while writes are possible through this node.
func (s *Server) health(c echo.Context) error {
	if err := s.plain(c); err != nil {
		return err
	}
	n := s.node.Status()
	status, code := "follower", http.StatusOK
	switch {
	case s.service.Outdated() != nil:
		status, code = "outdated", http.StatusServiceUnavailable
		c.Response().Header().Set("Retry-After", "30")
	case !n.Quorum:
		status, code = "no quorum", http.StatusServiceUnavailable
		c.Response().Header().Set("Retry-After", "2")
	case n.RaftState == "Leader" || n.RaftState == "External":
		status = "healthy"
	}
	b := getBuffer()
	defer putBuffer(b)
	o := b.object()
	o.str("status", status)
	o.str("raft_state", n.RaftState)
	o.str("node_id", n.NodeID)
	o.uint("revision", uint64(s.service.Position().Revision))
	o.end()
	return send(c, code, b)
}

// live says that the process answers.
func (s *Server) live(c echo.Context) error {
	if err := s.plain(c); err != nil {
		return err
	}
	b := getBuffer()
	defer putBuffer(b)
	alive(b)
	return send(c, http.StatusOK, b)
}

func alive(b *buffer) {
	o := b.object()
	o.str("status", "alive")
	o.end()
}

// ready says that this node has folded the log up to its head and that there is a quorum;
// data planes do not matter.
func (s *Server) ready(c echo.Context) error {
	if err := s.plain(c); err != nil {
		return err
	}
	n := s.node.Status()
	caughtUp, quorum := "ok", "ok"
	if err := s.service.CaughtUp(c.Request().Context()); err != nil {
		caughtUp = err.Error()
	}
	if !n.Quorum {
		quorum = "no quorum"
	}
	ok := caughtUp == "ok" && quorum == "ok"
	status, code := "ready", http.StatusOK
	if !ok {
		status, code = "not ready", http.StatusServiceUnavailable
		c.Response().Header().Set("Retry-After", "1")
	}
	b := getBuffer()
	defer putBuffer(b)
	o := b.object()
	o.str("status", status)
	o.str("transport", n.Security.Transport)
	o.key("checks")
	e := o.object()
	e.str("caught_up", caughtUp)
	e.str("quorum", quorum)
	e.end()
	o.next()
	if len(n.Alarms) > 0 { // none of them makes a restart, or another node, the better answer
		o.list("alarms")
		for _, a := range n.Alarms {
			o.b = append(strconv.AppendQuote(o.b, a.Name), ',')
		}
		o.endList()
	}
	o.uint("revision", uint64(s.service.Position().Revision))
	o.end()
	return send(c, code, b)
}

func (s *Server) versionInfo(c echo.Context) error {
	if err := s.plain(c); err != nil {
		return err
	}
	b := getBuffer()
	defer putBuffer(b)
	versions(b, s.version)
	return send(c, http.StatusOK, b)
}

func versions(b *buffer, version string) {
	o := b.object()
	o.str("version", version)
	o.str("go", runtime.Version())
	o.uint("log_format", eventlog.Format)
	o.uint("max_level", eventlog.MaxLevel)
	o.uint("fib_protocol", 1)
	o.end()
}

// clusterStatus is the flat map of strings that hashicorp's raft.Stats gave
// the seed, filled from etcd's Raft; what has no counterpart says so by its value.
func (s *Server) clusterStatus(c echo.Context) error {
	if err := s.plain(c); err != nil {
		return err
	}
	n := s.node.Status()
	st := s.service.Status()
	num := func(v uint64) string { return strconv.FormatUint(v, 10) }
	lastContact := "never"
	if n.Quorum {
		lastContact = "0"
	}
	b := getBuffer()
	defer putBuffer(b)
	o := b.object()
	for _, m := range []pair{
		{"state", n.RaftState},
		{"term", num(n.Term)},
		{"last_log_index", num(max(n.Committed, n.Applied))},
		{"last_log_term", num(n.Term)},
		{"commit_index", num(n.Committed)},
		{"applied_index", num(n.Applied)},
		{"fsm_pending", num(uint64(st.Appender.Queued))},
		{"last_contact", lastContact},
		{"num_peers", strconv.Itoa(n.Peers)},
		{"protocol_version", "3"},
		{"node_id", n.NodeID},
		{"leader", n.Leader},
		{"etcd", n.Etcd},
		{"log_id", st.Position.LogID},
		{"epoch", num(st.Position.Epoch)},
		{"revision", num(uint64(st.Position.Revision))},
		{"level", num(uint64(st.Level))},
	} {
		o.str(m.name, m.value)
	}
	o.end()
	return send(c, http.StatusOK, b)
}

func (s *Server) status(c echo.Context) error {
	if _, err := s.view(c, freshParams); err != nil {
		return err
	}
	n := s.node.Status()
	st := s.service.Status()
	s.setPosition(c.Response().Header(), st.Position)
	b := getBuffer()
	defer putBuffer(b)
	o := b.object()
	o.str("node_id", n.NodeID)
	o.str("version", s.version)
	o.str("raft_state", n.RaftState)
	o.bool("quorum", n.Quorum)
	o.optional("leader", n.Leader)
	o.time("since", n.Started)
	o.uint("revision", uint64(st.Position.Revision))
	position(o, "position", st.Position)
	o.str("hash", hex.EncodeToString(st.Hash[:]))
	o.uint("level", uint64(st.Level))
	o.uint("max_level", eventlog.MaxLevel)
	o.key("time")
	b.b = append(eventlog.AppendTime(append(b.b, '"'), st.Time), '"', ',')
	o.str("digest", st.Digest.String())
	if st.Fault != nil {
		o.str("fault", st.Fault.Error())
	}
	o.key("state")
	e := o.object()
	e.uint("destinations4", uint64(st.Stats.Destinations4))
	e.uint("destinations6", uint64(st.Stats.Destinations6))
	e.uint("routes", uint64(st.Stats.Routes))
	e.uint("classes", uint64(st.Stats.Classes))
	e.uint("routers", uint64(st.Stats.Routers))
	e.uint("links", uint64(st.Stats.Links))
	e.uint("keys", uint64(st.Stats.Keys))
	e.uint("key_bytes", uint64(st.Stats.KeyBytes))
	e.end()
	o.next()
	o.key("idempotency_window")
	e = o.object()
	e.uint("commits", uint64(st.Window.Commits))
	if st.Window.Since > 0 {
		e.time("since", time.UnixMilli(st.Window.Since))
	}
	e.end()
	o.next()
	o.key("store")
	e = o.object()
	e.str("etcd", n.Etcd)
	e.uint("bytes", uint64(max(n.DBSize, 0)))
	e.uint("quota", uint64(max(n.Quota, 0)))
	e.end()
	o.next()
	if n.Archive != nil {
		archiveStatus(o, n.Archive)
	}
	if n.Backup != nil {
		backupStatus(o, n.Backup)
	}
	alarmList(o, n.Alarms)
	nodeAddresses(o, n)
	security(o, n.Security)
	o.uint("dataplanes", uint64(st.DataPlanes))
	o.end()
	return send(c, http.StatusOK, b)
}

func security(o object, s Security) {
	o.key("security")
	e := o.object()
	e.str("transport", s.Transport)
	if !s.Expires.IsZero() {
		e.time("expires", s.Expires)
		e.time("authority_expires", s.AuthorityExpires)
	}
	e.optional("alarm", s.Alarm)
	e.end()
	o.next()
}

func archiveStatus(o object, a *ArchiveStatus) {
	o.key("archive")
	e := o.object()
	e.str("directory", a.Directory)
	e.uint("first_revision", uint64(a.First))
	e.uint("revision", uint64(a.Last))
	e.optional("problem", a.Problem)
	e.end()
	o.next()
}

func backupStatus(o object, b *BackupStatus) {
	o.key("backup")
	e := o.object()
	e.str("directory", b.Directory)
	e.str("every", b.Every.String())
	e.uint("keep", uint64(b.Keep))
	e.uint("good", uint64(b.Good))
	if b.Good > 0 {
		e.uint("revision", uint64(b.Revision))
		e.time("made", b.Made)
	}
	e.optional("problem", b.Problem)
	e.end()
	o.next()
}

func alarmList(o object, list []Alarm) {
	o.list("alarms")
	for _, a := range list {
		e := o.object()
		e.str("alarm", a.Name)
		e.str("detail", a.Detail)
		e.str("do", a.Do)
		e.end()
		o.next()
	}
	o.endList()
}

func nodeAddresses(o object, n NodeStatus) {
	o.key("addresses")
	e := o.object()
	e.str("api", n.API)
	e.str("fib", n.FIB)
	e.optional("raft", n.Raft)
	e.optional("etcd", n.Client)
	e.end()
	o.next()
}

func position(o object, key string, p eventlog.Position) {
	o.key(key)
	e := o.object()
	e.str("log_id", p.LogID)
	e.uint("epoch", p.Epoch)
	e.uint("revision", uint64(p.Revision))
	e.end()
	o.next()
}

// sinkStates writes what the sinks of a data plane said last.
func sinkStates(e object, sinks []fibstream.Sink) {
	e.list("sink_states")
	for _, k := range sinks {
		s := e.object()
		s.str("name", k.Name)
		s.uint("entries", k.Entries)
		s.uint("failed", k.Failed)
		s.uint("repaired", k.Repaired)
		s.bool("deviates", k.Deviates)
		s.optional("installed", hex.EncodeToString(k.Installed))
		if len(k.Failures) > 0 {
			s.list("failures")
			for _, f := range k.Failures {
				x := s.object()
				x.str("prefix", f.Prefix)
				x.str("reason", f.Reason)
				x.end()
				s.next()
			}
			s.endList()
		}
		s.end()
		e.next()
	}
	e.endList()
}

// downs writes the interfaces and next hops that a data plane sees down.
func downs(e object, list []fibstream.Down) {
	if len(list) == 0 {
		return
	}
	e.list("down")
	for _, d := range list {
		x := e.object()
		x.optional("interface", d.Interface)
		if d.NextHop.IsValid() {
			x.str("next_hop", d.NextHop.String())
		}
		x.time("since", d.Since)
		x.end()
		e.next()
	}
	e.endList()
}

// repairs writes what a data plane set right last.
func repairs(e object, list []fibstream.Repair) {
	if len(list) == 0 {
		return
	}
	e.list("repairs")
	for _, r := range list {
		x := e.object()
		x.time("time", r.Time)
		x.optional("prefix", r.Prefix)
		x.str("cause", r.Cause)
		x.uint("count", r.Count)
		x.end()
		e.next()
	}
	e.endList()
}

// undone writes the unconfirmed commits that a data plane undid by itself.
func undone(e object, list []fibstream.Undone) {
	if len(list) == 0 {
		return
	}
	e.list("undone")
	for _, u := range list {
		x := e.object()
		x.time("time", u.Time)
		x.uint("revision", uint64(u.Revision))
		x.end()
		e.next()
	}
	e.endList()
}

func (s *Server) dataPlanes(c echo.Context) error {
	v, err := s.view(c, freshParams)
	if err != nil {
		return err
	}
	b := getBuffer()
	defer putBuffer(b)
	o := b.object()
	o.list("dataplanes")
	for _, d := range s.service.AllDataPlanes(c.Request().Context()) {
		e := o.object()
		e.str("router", string(d.Router))
		e.str("instance", d.Instance)
		e.str("node", d.Node)
		sink := ""
		if len(d.Sinks) > 0 {
			sink = d.Sinks[0]
		}
		e.str("sink", sink)
		strs(e, "sinks", d.Sinks)
		e.bool("connected", d.Connected)
		position(e, "position", d.Position)
		e.uint("lag", d.Lag)
		e.bool("digest_equal", d.DigestEqual)
		e.bool("deviates", d.Deviates)
		e.uint("failed", d.Failed)
		e.time("since", d.Since)
		e.optional("version", d.Version)
		sinkStates(e, d.SinkStates)
		downs(e, d.Down)
		repairs(e, d.Repairs)
		undone(e, d.Undone)
		e.key("counters")
		counters(b, d.Counters)
		e.end()
		o.next()
	}
	o.endList()
	o.uint("revision", uint64(v.State.Position().Revision))
	stale(o, v)
	o.end()
	return send(c, http.StatusOK, b)
}
