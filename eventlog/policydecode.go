package eventlog

func (d *Decoder) guardSet(f *frame) Event {
	s, e := &d.s, new(GuardSet)
	d.each(f, func(key []byte) bool {
		switch string(key) {
		case "name":
			s.once(f, 0, "name")
			e.Name = d.name("name")
		case "type":
			s.once(f, 1, "type")
			e.Type = d.name("type")
		case "prefixes":
			s.once(f, 2, "prefixes")
			e.Prefixes = d.prefixes("prefixes")
		case "routers":
			s.once(f, 3, "routers")
			e.Routers = d.routers("routers")
		case "actor":
			s.once(f, 4, "actor")
			e.Actor = d.name("actor")
		case "origin":
			s.once(f, 5, "origin")
			e.Origin = d.name("origin")
		case "percent":
			s.once(f, 6, "percent")
			e.Percent = uint32(s.uint("percent", 100))
		case "above":
			s.once(f, 7, "above")
			e.Above = s.uint("above", 1<<64-1)
		case "limit":
			s.once(f, 8, "limit")
			e.Limit = s.uint("limit", 1<<64-1)
		default:
			return false
		}
		return true
	})
	s.require(f, 0, "name")
	s.require(f, 1, "type")
	return e
}

func (d *Decoder) freezeSet(f *frame) Event {
	s, e := &d.s, new(FreezeSet)
	d.each(f, func(key []byte) bool {
		switch string(key) {
		case "name":
			s.once(f, 0, "name")
			e.Name = d.name("name")
		case "prefixes":
			s.once(f, 1, "prefixes")
			e.Prefixes = d.prefixes("prefixes")
		case "routers":
			s.once(f, 2, "routers")
			e.Routers = d.routers("routers")
		case "from":
			s.once(f, 3, "from")
			e.From = s.time("from")
		case "until":
			s.once(f, 4, "until")
			e.Until = s.time("until")
		default:
			return false
		}
		return true
	})
	s.require(f, 0, "name")
	return e
}

func (d *Decoder) roleSet(f *frame) Event {
	s, e := &d.s, new(RoleSet)
	d.each(f, func(key []byte) bool {
		switch string(key) {
		case "actor":
			s.once(f, 0, "actor")
			e.Actor = d.name("actor")
		case "grants":
			s.once(f, 1, "grants")
			e.Grants = listOf(s, "grants", maxGrants, d.grant)
		default:
			return false
		}
		return true
	})
	s.require(f, 0, "actor")
	s.require(f, 1, "grants")
	return e
}

func (d *Decoder) grant(string) (g Grant) {
	s := &d.s
	var f frame
	if !s.open("") {
		return g
	}
	d.each(&f, func(key []byte) bool {
		switch string(key) {
		case "role":
			s.once(&f, 0, "role")
			g.Role = d.name("role")
		case "prefixes":
			s.once(&f, 1, "prefixes")
			g.Prefixes = d.prefixes("prefixes")
		case "routers":
			s.once(&f, 2, "routers")
			g.Routers = d.routers("routers")
		case "tags":
			s.once(&f, 3, "tags")
			g.Tags = d.tags()
		case "keys":
			s.once(&f, 4, "keys")
			g.Keys = d.names("keys", maxList)
		default:
			return false
		}
		return true
	})
	s.require(&f, 0, "role")
	return g
}

func (d *Decoder) timerSet(f *frame) Event {
	s, e := &d.s, new(TimerSet)
	d.each(f, func(key []byte) bool {
		switch string(key) {
		case "name":
			s.once(f, 0, "name")
			e.Name = d.name("name")
		case "at":
			s.once(f, 1, "at")
			e.At = s.time("at")
		case "events":
			s.once(f, 2, "events")
			d.within++
			e.Events = listOf(s, "events", MaxCommitEvents, d.nested)
			d.within--
		case "stage":
			s.once(f, 3, "stage")
			e.Stage = new(CommitStaged)
			d.object("stage", func(f *frame) { d.staged(f, e.Stage) })
		case "proposer":
			s.once(f, 4, "proposer")
			e.Proposer = d.name("proposer")
		case "undo":
			s.once(f, 5, "undo")
			e.Undo = s.bool("undo")
		case "unchanged":
			s.once(f, 6, "unchanged")
			e.Unchanged = s.bool("unchanged")
		default:
			return false
		}
		return true
	})
	s.require(f, 0, "name")
	s.require(f, 1, "at")
	return e
}

// nested reads an event inside a timer. A timer in a timer is the lifetime of
// what that one does and holds no third, which bounds the recursion.
func (d *Decoder) nested(string) Event {
	s := &d.s
	s.peek()
	at := s.i
	f := frame{event: true}
	kind := Kind(d.kind(&f))
	if s.err == nil && (!mayNest(kind) || kind == KindTimerSet && d.within > 1) {
		s.fail("kind", reasonNest)
	}
	if s.err != nil {
		return nil
	}
	s.i = at
	e := d.event()
	if t, ok := e.(*TimerSet); s.err == nil && ok && !t.Undo {
		s.fail("kind", reasonNest)
	}
	return e
}

// object reads a nested object whose members' fields start with field.
func (d *Decoder) object(field string, read func(f *frame)) {
	if !d.s.open(field) {
		return
	}
	var f frame
	read(&f)
	if d.s.err != nil {
		d.s.err.Field = joinField(field, d.s.err.Field)
	}
}

func (d *Decoder) staged(f *frame, e *CommitStaged) {
	s := &d.s
	d.each(f, func(key []byte) bool {
		switch string(key) {
		case "id":
			s.once(f, 0, "id")
			e.ID = d.name("id")
		case "parts":
			s.once(f, 1, "parts")
			e.Parts = int(s.uint("parts", maxStageParts))
		case "events":
			s.once(f, 2, "events")
			e.Events = int(s.uint("events", 1<<31-1))
		case "bytes":
			s.once(f, 3, "bytes")
			e.Bytes = int64(s.uint("bytes", 1<<63-1))
		case "sha256":
			s.once(f, 4, "sha256")
			s.hex("sha256", e.SHA256[:])
		default:
			return false
		}
		return true
	})
	for bit, field := range [...]string{"id", "parts", "events", "bytes", "sha256"} {
		s.require(f, uint(bit), field)
	}
}

func (d *Decoder) epochStarted(f *frame) Event {
	s, e := &d.s, new(EpochStarted)
	d.each(f, func(key []byte) bool {
		switch string(key) {
		case "epoch":
			s.once(f, 0, "epoch")
			e.Epoch = s.uint("epoch", 1<<64-1)
		case "log_id":
			s.once(f, 1, "log_id")
			e.LogID = d.name("log_id")
		case "nonce":
			s.once(f, 2, "nonce")
			s.hex("nonce", e.Nonce[:])
		case "cause":
			s.once(f, 3, "cause")
			e.Cause = d.name("cause")
		case "from":
			s.once(f, 4, "from")
			e.From = new(EpochOrigin)
			d.object("from", func(f *frame) { d.epochOrigin(f, e.From) })
		default:
			return false
		}
		return true
	})
	for bit, field := range [...]string{"epoch", "log_id", "nonce", "cause"} {
		s.require(f, uint(bit), field)
	}
	return e
}

func (d *Decoder) epochOrigin(f *frame, e *EpochOrigin) {
	s := &d.s
	d.each(f, func(key []byte) bool {
		switch string(key) {
		case "epoch":
			s.once(f, 0, "epoch")
			e.Epoch = s.uint("epoch", 1<<64-1)
		case "revision":
			s.once(f, 1, "revision")
			e.Revision = Revision(s.uint("revision", 1<<64-1))
		case "hash":
			s.once(f, 2, "hash")
			s.hex("hash", e.Hash[:])
		default:
			return false
		}
		return true
	})
	for bit, field := range [...]string{"epoch", "revision", "hash"} {
		s.require(f, uint(bit), field)
	}
}
