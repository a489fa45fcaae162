package eventlog

import (
	"fmt"
	"net/netip"
)

// The types of guard rails.
const (
	GuardProtected = "protected"
	GuardMaxShrink = "max_shrink"
	GuardMaxRoutes = "max_routes"
	// GuardApproval: what it names is changed with the consent of a second actor.
	GuardApproval = "needs_approval"
)

// The causes of an epoch.
const (
	CauseCreated   = "created"
	CauseRecovered = "recovered"
	CauseRestored  = "restored"
)

func prefixesReason(list []netip.Prefix) string {
	if len(list) > maxList {
		return tooMany(maxList)
	}
	for i, p := range list {
		if r := prefixReason(p); r != "" {
			return "holds a prefix that " + r
		}
		if i > 0 && list[i-1].Compare(p) >= 0 {
			return "must be sorted (IPv4 first, then address, then length), each prefix once"
		}
	}
	return ""
}

func routersReason(list []RouterID) string {
	if len(list) > maxList {
		return tooMany(maxList)
	}
	for i, id := range list {
		if r := routerReason(id); r != "" {
			return "holds a router that " + r
		}
		if i > 0 && list[i-1] >= id {
			return "must be sorted, each router once"
		}
	}
	return ""
}

// Validate checks the members that the guard's type has.
func (e *GuardSet) Validate() error {
	var r rules
	r.check("name", nameReason(e.Name))
	r.check("prefixes", prefixesReason(e.Prefixes))
	r.check("routers", routersReason(e.Routers))
	if e.Actor != "" {
		r.check("actor", labelReason(e.Actor, MaxActor))
	}
	r.check("origin", optionalNameReason(e.Origin))
	foreign := func(bad bool, field string) {
		r.refuse(bad, field, "is not a member of a guard of type "+e.Type)
	}
	switch e.Type {
	case GuardProtected:
		r.refuse(len(e.Prefixes) == 0, "prefixes", "is missing: a protected guard names the prefixes it protects")
		foreign(e.Actor != "", "actor")
		foreign(e.Origin != "", "origin")
		foreign(e.Percent != 0, "percent")
		foreign(e.Above != 0, "above")
		foreign(e.Limit != 0, "limit")
	case GuardMaxShrink:
		r.refuse(e.Percent < 1 || e.Percent > 100, "percent", "must be from 1 to 100")
		foreign(e.Limit != 0, "limit")
		foreign(len(e.Prefixes) > 0, "prefixes")
		foreign(e.Actor != "", "actor")
		foreign(e.Origin != "", "origin")
	case GuardMaxRoutes:
		r.refuse(e.Limit < 1, "limit", "must be 1 or more")
		foreign(e.Percent != 0, "percent")
		foreign(e.Above != 0, "above")
		foreign(len(e.Prefixes) > 0, "prefixes")
	case GuardApproval:
		foreign(e.Actor != "", "actor")
		foreign(e.Origin != "", "origin")
		foreign(e.Percent != 0, "percent")
		foreign(e.Above != 0, "above")
		foreign(e.Limit != 0, "limit")
	default:
		r.check("type", "must be protected, max_shrink, max_routes or needs_approval")
	}
	return r.done()
}

// Validate checks the name.
func (e *GuardRemoved) Validate() error { return onlyName(e.Name) }

// Validate checks what is frozen and when.
func (e *FreezeSet) Validate() error {
	var r rules
	r.check("name", nameReason(e.Name))
	r.check("prefixes", prefixesReason(e.Prefixes))
	r.check("routers", routersReason(e.Routers))
	r.check("from", optionalTimeReason(e.From))
	r.check("until", optionalTimeReason(e.Until))
	r.refuse(e.From != 0 && e.Until != 0 && e.Until <= e.From, "until", "must be after from")
	return r.done()
}

// Validate checks the name.
func (e *FreezeRemoved) Validate() error { return onlyName(e.Name) }

// Validate checks the actor and each grant.
func (e *RoleSet) Validate() error {
	var r rules
	r.check("actor", labelReason(e.Actor, MaxActor))
	r.refuse(len(e.Grants) == 0, "grants", "must not be empty; role.removed takes an actor's roles")
	if len(e.Grants) > maxGrants {
		r.check("grants", tooMany(maxGrants))
	}
	for i := range e.Grants {
		g, at := &e.Grants[i], fmt.Sprintf("grants[%d].", i)
		r.check(at+"role", nameReason(g.Role))
		r.check(at+"prefixes", prefixesReason(g.Prefixes))
		r.check(at+"routers", routersReason(g.Routers))
		r.check(at+"tags", tagsReason(g.Tags))
		r.check(at+"keys", keysReason(g.Keys))
	}
	return r.done()
}

// Validate checks the actor.
func (e *RoleRemoved) Validate() error {
	var r rules
	r.check("actor", labelReason(e.Actor, MaxActor))
	return r.done()
}

const reasonNest = "is not a kind of event that a timer can hold"

// mayNest says whether a timer may hold events of kind k; of timers it holds
// lifetimes alone.
func mayNest(k Kind) bool {
	switch k {
	case KindCommitStaged, KindEpochStarted, KindLevelRaised, KindClockStepped,
		KindTokenSet, KindTokenRemoved, KindAuthEnabled, KindAuthDisabled:
		return false
	}
	return true
}

func holdable(e Event) bool {
	t, timer := e.(*TimerSet)
	return mayNest(e.Kind()) && (!timer || t.Undo)
}

const reasonLend = "is not a kind of event that a lifetime can give back"

// lendable: a lifetime may say that e is to be at its end.
func lendable(e Event) bool {
	switch e.Kind() {
	case KindRouteAnnounced, KindRouteWithdrawn, KindRouterSet, KindRouterRemoved, KindLinkSet, KindLinkRemoved,
		KindKeyPut, KindKeyDeleted, KindGuardSet, KindGuardRemoved, KindFreezeSet, KindFreezeRemoved:
		return true
	}
	return false
}

// Validate checks the timer and the events that it holds.
func (e *TimerSet) Validate() error {
	var r rules
	r.check("name", nameReason(e.Name))
	r.check("at", timeReason(e.At))
	if e.Proposer != "" {
		r.check("proposer", labelReason(e.Proposer, MaxActor))
	}
	if e.Undo {
		r.refuse(e.Stage != nil, "stage", "must be absent where undo is true")
		r.refuse(e.Proposer != "", "proposer", "must be absent where undo is true")
		r.refuse(e.Unchanged, "unchanged", "must be absent where undo is true")
		if len(e.Events) > MaxCommitEvents {
			r.check("events", tooMany(MaxCommitEvents))
		}
		if r.err == nil && len(e.Events) > 0 {
			r.nested("", validateEvents(e.Events, lendable, reasonLend))
		}
		return r.done()
	}
	r.refuse(len(e.Events) == 0 && e.Stage == nil, "events", "is missing: a timer has events or a stage")
	r.refuse(e.Unchanged && e.Stage != nil, "unchanged", "must be absent where there is a stage")
	r.refuse(len(e.Events) > 0 && e.Stage != nil, "stage", "must be absent where there are events")
	if len(e.Events) > MaxCommitEvents {
		r.check("events", tooMany(MaxCommitEvents))
	}
	if e.Stage != nil && r.err == nil {
		r.nested("stage", e.Stage.Validate())
	}
	if r.err == nil && len(e.Events) > 0 {
		r.nested("", validateEvents(e.Events, holdable, reasonNest))
	}
	return r.done()
}

// nested takes over the error of a part.
func (r *rules) nested(field string, err error) {
	if f, ok := err.(*FieldError); ok && r.err == nil {
		if field != "" {
			field = joinField(field, f.Field)
		} else {
			field = f.Field
		}
		r.err = &FieldError{Field: field, Reason: f.Reason}
	}
}

// Validate checks the name.
func (e *TimerFired) Validate() error { return onlyName(e.Name) }

// Validate checks the name.
func (e *TimerCancelled) Validate() error { return onlyName(e.Name) }

// Validate checks name and cause.
func (e *TimerFailed) Validate() error {
	var r rules
	r.check("name", nameReason(e.Name))
	r.refuse(e.Cause == "", "cause", "must not be empty")
	r.check("cause", textReason(e.Cause, MaxReason))
	return r.done()
}

func onlyName(name string) error {
	var r rules
	r.check("name", nameReason(name))
	return r.done()
}

// Validate checks the deadline.
func (e *ConfirmationOpened) Validate() error {
	var r rules
	r.check("deadline", timeReason(e.Deadline))
	return r.done()
}

// Validate checks the revision.
func (e *ConfirmationConfirmed) Validate() error { return onlyRevision(e.Revision) }

// Validate checks the revision.
func (e *ConfirmationUndone) Validate() error { return onlyRevision(e.Revision) }

func onlyRevision(rev Revision) error {
	var r rules
	r.refuse(rev == 0, "revision", "must be 1 or more")
	return r.done()
}

// CheckStageID checks the id of a staged commit, which is part of a store's
// key: like a router's id, up to 128 bytes.
func CheckStageID(id string) error { return checked(stageReason(id)) }

func stageReason(id string) string {
	if len(id) > maxStageID {
		return tooLong(maxStageID)
	}
	if id == "" || idClass[id[0]]&isAlnum == 0 {
		return "must begin with a letter or digit"
	}
	for i := range len(id) {
		if idClass[id[i]]&inRouter == 0 {
			return `may hold letters, digits, ".", "_" and "-" only`
		}
	}
	return ""
}

// Validate checks the reference to a stage.
func (e *CommitStaged) Validate() error {
	var r rules
	r.check("id", stageReason(e.ID))
	if e.Parts < 1 || e.Parts > maxStageParts {
		r.check("parts", fmt.Sprintf("must be from 1 to %d", maxStageParts))
	}
	r.refuse(e.Events < 1, "events", "must be 1 or more")
	r.refuse(e.Bytes < 1 || e.Bytes > int64(e.Parts)*MaxStagePart, "bytes", "does not fit the number of parts")
	return r.done()
}

// Validate checks the epoch's number, names and origin.
func (e *EpochStarted) Validate() error {
	var r rules
	r.refuse(e.Epoch == 0, "epoch", "must be 1 or more")
	r.check("log_id", nameReason(e.LogID))
	switch e.Cause {
	case CauseCreated:
		r.refuse(e.From != nil, "from", "must be absent from a log that is created")
	case CauseRecovered, CauseRestored:
		r.refuse(e.From == nil, "from", "is missing: it names the commit that the epoch continues")
	default:
		r.check("cause", "must be created, recovered or restored")
	}
	if e.From != nil {
		r.refuse(e.From.Epoch == 0, "from.epoch", "must be 1 or more")
		r.refuse(e.From.Epoch >= e.Epoch, "epoch", "must be greater than the epoch that it continues")
		r.refuse(e.From.Revision == 0, "from.revision", "must be 1 or more")
	}
	return r.done()
}

// CheckLogID checks a log's id: a name; logs that are created get a uuid.
func CheckLogID(id string) error { return checked(nameReason(id)) }

// Validate checks the level.
func (e *LevelRaised) Validate() error {
	var r rules
	r.refuse(e.Level == 0, "level", "must be 1 or more")
	return r.done()
}

// Validate checks both times.
func (e *ClockStepped) Validate() error {
	var r rules
	r.check("from", timeReason(e.From))
	r.check("to", timeReason(e.To))
	return r.done()
}
