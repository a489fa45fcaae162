package httpapi

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"dvr/controller/appender"
	"dvr/eventlog"
)

func (a *api) table() string {
	s := a.app.State()
	return s.FIB("r1", nil).Digest().String()
}

func TestRollback(t *testing.T) {
	for _, c := range []struct {
		name, body string
		left       []string // of 10.1, 10.2 and 10.3
	}{
		{"to", `{"to":2}`, []string{"10.1.0.0/16"}},
		{"one commit", `{"commits":[3]}`, []string{"10.1.0.0/16", "10.3.0.0/16"}},
		{"two commits", `{"commits":[4,3]}`, []string{"10.1.0.0/16"}},
		{"an actor", `{"actor":"bob","since":1}`, nil},
		{"an actor since", `{"actor":"bob","since":2}`, []string{"10.1.0.0/16", "10.2.0.0/16"}},
		{"within", `{"within":"10.2.0.0/15","since":2}`, []string{"10.1.0.0/16"}},
		{"a tag", `{"tag":"edge","since":"1h"}`, []string{"10.1.0.0/16", "10.2.0.0/16"}},
		{"a router", `{"router":"r1","since":2}`, []string{"10.1.0.0/16", "10.3.0.0/16"}},
	} {
		a := newAPI(t)
		a.add("10.1.0.0/16", "192.0.2.1", 1)
		a.must("POST", "/routes", `{"router":"r1","destination":"10.2.0.0/16","next_hop":"192.0.2.2"}`)
		a.must("POST", "/routes", `{"destination":"10.3.0.0/16","next_hop":"192.0.2.2","tags":["edge"]}`, "X-DVR-Actor: bob")
		if c.left == nil {
			if r := a.do("POST", "/v1/rollback", c.body); r.Code != 400 {
				t.Errorf("%s: %d %s", c.name, r.Code, r.Body)
			}
			continue
		}
		before := a.revision()
		p := a.must("POST", "/v1/rollback?dry_run=true", c.body).json(t)
		if a.revision() != before || p["status"] != "previewed" {
			t.Fatalf("%s: a dry run: %v", c.name, p)
		}
		a.must("POST", "/v1/rollback", c.body)
		if got := a.app.State().Digest().String(); got != p["digest"] {
			t.Errorf("%s: the dry run said %v, it is %s", c.name, p["digest"], got)
		}
		var left []string
		for d := range a.app.State().Destinations(netip.Prefix{}, netip.Prefix{}) {
			left = append(left, d.Prefix.String())
		}
		if fmt.Sprint(left) != fmt.Sprint(c.left) {
			t.Errorf("%s: %v, want %v", c.name, left, c.left)
		}
	}
}

func TestRollbackIsANewCommit(t *testing.T) {
	a := newAPI(t)
	before := a.table()
	a.add("10.1.0.0/16", "192.0.2.1", 1)
	a.add("10.2.0.0/16", "192.0.2.1", 1)
	m := a.must("POST", "/v1/rollback?reason=wrong", `{"commits":[2,3]}`).json(t)
	k := a.must("GET", fmt.Sprintf("/v1/commits/%v", m["revision"]), "").json(t)
	if fmt.Sprint(k["reverts"]) != "[2 3]" || k["reason"] != "wrong" || a.table() != before {
		t.Errorf("%v", k)
	}
	if m := a.must("POST", "/v1/rollback", `{"commits":[2,3]}`).json(t); m["status"] != "nothing to roll back" || a.revision() != 4 {
		t.Errorf("again: %v", m)
	}
	// The rollback can be rolled back.
	a.must("POST", "/v1/rollback", `{"commits":[4]}`)
	if a.table() == before {
		t.Error("the rollback was not taken back")
	}
}

func TestRollbackListsConflicts(t *testing.T) {
	a := newAPI(t)
	a.add("10.1.0.0/16", "192.0.2.1", 1)
	a.must("POST", "/routes", `{"destination":"10.1.0.0/16","next_hop":"192.0.2.1","metric":7}`, "X-DVR-Actor: bob")
	r := a.do("POST", "/v1/rollback", `{"commits":[2]}`)
	m := r.json(t)
	list, _ := m["conflicts"].([]any)
	if r.Code != 409 || len(list) != 1 || !strings.Contains(m["detail"].(string), "was changed since by commit 3 of bob") {
		t.Fatalf("%d %s", r.Code, r.Body)
	}
	if x := list[0].(map[string]any); x["commit"] != 3.0 || x["actor"] != "bob" {
		t.Errorf("%v", x)
	}
	a.must("POST", "/v1/rollback", `{"commits":[2,3]}`)
}

func TestRollbackOfAnUnconfirmedCommitSettlesIt(t *testing.T) {
	a := newAPI(t)
	a.must("POST", "/routes?confirm_within=1h", `{"destination":"10.1.0.0/16","next_hop":"192.0.2.1"}`)
	a.must("POST", "/v1/rollback", `{"commits":[2]}`)
	if n := len(a.app.State().Pending()); n != 0 {
		t.Errorf("%d wait for confirmation", n)
	}
}

// TestRollbackSettlesWhatItTakesBack: whichever way a commit is taken back as a
// whole, it waits for no confirmation any more; a part of it does.
func TestRollbackSettlesWhatItTakesBack(t *testing.T) {
	for body, pending := range map[string]int{
		`{"actor":"carl","since":3}`:         0,
		`{"to":2}`:                           0,
		`{"commits":[3]}`:                    0,
		`{"within":"10.0.0.0/8","since":3}`:  0,
		`{"within":"10.1.0.0/16","since":3}`: 1,
		`{"to":3}`:                           1,
		`{"actor":"bob","since":2}`:          1,
	} {
		a := newAPI(t)
		a.must("POST", "/routes", `{"destination":"10.9.0.0/16","next_hop":"192.0.2.1"}`, "X-DVR-Actor: bob")
		a.must("POST", "/v1/commits?confirm_within=1h", `{"events":[{"kind":"route.announced","destination":"10.1.0.0/16","next_hop":"192.0.2.1"},{"kind":"route.announced","destination":"10.2.0.0/16","next_hop":"192.0.2.1"}]}`, "X-DVR-Actor: carl")
		a.must("POST", "/v1/rollback", body)
		if n := len(a.app.State().Pending()); n != pending {
			t.Errorf("%s: %d wait for confirmation, want %d", body, n, pending)
		}
	}
}

func TestRollbackRefusesNonsense(t *testing.T) {
	a := newAPI(t)
	a.add("10.1.0.0/16", "192.0.2.1", 1)
	for _, body := range []string{`{}`, `{"to":2,"commits":[2]}`, `{"to":9}`, `{"commits":[0]}`, `{"actor":"bob"}`, `{"to":1,"since":2}`, `{"actor":"bob","since":"then"}`, `{"actor":"bob","since":1}`, `{"within":"10.1.0.1/16","since":2}`, `{"nonsense":1}`} {
		if r := a.do("POST", "/v1/rollback", body); r.Code != 400 {
			t.Errorf("%s: %d %s", body, r.Code, r.Body)
		}
	}
	if r := a.do("POST", "/v1/rollback", `{"commits":[9]}`); r.Code != 404 {
		t.Errorf("a commit to come: %d %s", r.Code, r.Body)
	}
	at := time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	for body, want := range map[string]string{
		`{"actor":"anonymous","since":"` + at + `"}`: "since: is a time to come",
		`{"actor":"anonymous","since":9}`:            "since: is a revision to come: the newest is 2",
		`{"commits":[1]}`:                            "commits: must be 2 or more",
	} {
		if r := a.do("POST", "/v1/rollback", body); r.Code != 400 || !strings.Contains(r.Body, want) {
			t.Errorf("%s: %d %s, want %s", body, r.Code, r.Body, want)
		}
	}
}

// TestRollbackToIsTheStateThen: everything, whatever happened since.
func TestRollbackToIsTheStateThen(t *testing.T) {
	a := newAPI(t)
	a.add("10.1.0.0/16", "192.0.2.1", 1)
	a.must("PUT", "/kv/k", `{"value":"v"}`)
	a.must("PUT", "/v1/links/r1/r2", `{}`)
	at, before := a.revision(), a.table()
	a.must("DELETE", "/routes/10.1.0.0/16", "")
	a.must("PUT", "/kv/k", `{"value":"w"}`)
	a.must("DELETE", "/v1/links/r1/r2", "")
	a.must("PUT", "/v1/guards/g", `{"type":"max_routes","limit":5}`)
	a.must("POST", "/v1/rollback", fmt.Sprintf(`{"to":%d}`, at))
	s := a.app.State()
	k, _ := s.Key("k")
	_, link := s.Link(eventlog.LinkID{A: "r1", B: "r2"})
	if a.table() != before || k.Value != "v" || !link {
		t.Errorf("k=%q, link %v", k.Value, link)
	}
	for g := range s.Guards() {
		t.Errorf("guard %s is still there", g.Name)
	}
}

// TestScheduledRollback: it is made later only if nobody changed meanwhile what
// it is about; a proposed one neither.
func TestScheduledRollback(t *testing.T) {
	a := newAPI(t)
	a.add("10.1.0.0/16", "192.0.2.1", 1)
	a.add("10.2.0.0/16", "192.0.2.1", 1)
	m := a.must("POST", "/v1/rollback?not_before=8h", `{"commits":[2]}`).json(t)
	timer, ok := a.app.State().Timer(fmt.Sprint(m["timer"]))
	if !ok || !timer.Unchanged || len(timer.Events) != 1 {
		t.Fatalf("%v: %+v", m, timer)
	}
	if d := a.app.State().Disturbed(&timer); len(d) != 0 {
		t.Errorf("disturbed by nobody: %v", d)
	}
	a.must("POST", "/routes", `{"destination":"10.1.0.0/16","next_hop":"192.0.2.1","metric":7}`, "X-DVR-Actor: bob")
	if d := a.app.State().Disturbed(&timer); len(d) != 1 {
		t.Errorf("not disturbed: %v", d)
	}
	p := a.must("POST", "/v1/rollback?propose=true", `{"commits":[3]}`).json(t)
	a.must("DELETE", "/routes/10.2.0.0/16", "")
	a.add("10.2.0.0/16", "192.0.2.1", 5)
	r := a.do("POST", fmt.Sprintf("/v1/timers/%v/approve", p["timer"]), "", "X-DVR-Actor: carol")
	if r.Code != 409 || !strings.Contains(r.Body, "10.2.0.0/16") {
		t.Errorf("%d %s", r.Code, r.Body)
	}
}

// TestRollbackOfARouter: its previous declaration comes back; one that it had not
// is removed, unless something speaks of it that did not before.
func TestRollbackOfARouter(t *testing.T) {
	a := newAPI(t)
	description := func() any {
		m := a.must("GET", "/v1/routers/r1", "").json(t)
		return m["description"]
	}
	a.must("PUT", "/v1/links/r1/r2", `{}`)
	declared := fmt.Sprint(a.must("PUT", "/v1/routers/r1", `{"description":"first"}`).json(t)["revision"])
	second := fmt.Sprint(a.must("PUT", "/v1/routers/r1", `{"description":"second"}`).json(t)["revision"])
	back := fmt.Sprint(a.must("POST", "/v1/rollback", `{"commits":[`+second+`]}`).json(t)["revision"])
	if got := description(); got != "first" {
		t.Errorf("described as %v", got)
	}
	a.must("POST", "/v1/rollback", `{"commits":[`+declared+`,`+second+`,`+back+`]}`)
	if got := description(); got != nil && got != "" {
		t.Errorf("was only named before, is described as %v", got)
	}
	own := fmt.Sprint(a.must("PUT", "/v1/routers/r9", `{"description":"new"}`).json(t)["revision"])
	a.must("PUT", "/v1/links/r2/r9", `{}`)
	a.must("POST", "/routes", `{"router":"r9","destination":"10.1.0.0/16","next_hop":"192.0.2.1"}`)
	for _, target := range []string{"/v1/rollback", "/v1/rollback?dry_run=true"} {
		r := a.do("POST", target, `{"commits":[`+own+`]}`)
		if m := r.json(t); r.Code != 409 || m["type"] != "/problems/referred-to" || !strings.Contains(fmt.Sprint(m["detail"]), "link r2-r9, routes of its own to 1 destinations") {
			t.Errorf("%d %s", r.Code, r.Body)
		}
	}
	before := a.revision()
	a.must("PUT", "/v1/routers/r7", `{}`)
	a.must("POST", "/v1/commits", `{"events":[{"kind":"link.set","a":"r2","b":"r7"},{"kind":"router.set","router":"r7","drained":"soft"}]}`)
	a.must("POST", "/v1/rollback", fmt.Sprintf(`{"to":%d}`, before))
	if r := a.do("GET", "/v1/routers/r7", ""); r.Code != 404 {
		t.Errorf("%d %s", r.Code, r.Body)
	}
}

// TestRollbackToWhatIsTemporary: what a rollback restores of a change with a
// lifetime ends with it, unless somebody changes it once more; a dry run says the same.
func TestRollbackToWhatIsTemporary(t *testing.T) {
	for name, c := range map[string]struct {
		rollback string
		later    string // by somebody, before the end
		want     string
	}{
		"a commit":           {rollback: `{"commits":[4]}`, want: "old"},
		"to a revision":      {rollback: `{"to":3}`, want: "old"},
		"changed once more":  {rollback: `{"commits":[4]}`, later: "mine", want: "mine"},
		"its lifetime first": {rollback: `{"commits":[3,4]}`, want: "old"},
	} {
		a := newAPI(t)
		key := func() string { return fmt.Sprint(a.must("GET", "/kv/k", "").json(t)["value"]) }
		a.must("PUT", "/kv/k", `{"value":"old"}`)
		a.must("POST", "/v1/commits?expires_in=1h", `{"events":[{"kind":"key.put","key":"k","value":"temporary"},{"kind":"route.announced","destination":"10.1.0.0/16","next_hop":"192.0.2.1"}]}`)
		a.must("POST", "/v1/commits", `{"events":[{"kind":"key.put","key":"k","value":"wrong"},{"kind":"route.withdrawn","destination":"10.1.0.0/16","next_hop":"192.0.2.1"}]}`)
		p := a.must("POST", "/v1/rollback?dry_run=true", c.rollback).json(t)
		a.must("POST", "/v1/rollback", c.rollback)
		if got := a.app.State().Digest().String(); got != p["digest"] {
			t.Errorf("%s: the dry run said %v, it is %s", name, p["digest"], got)
		}
		want := "temporary"
		if strings.Contains(c.rollback, "3,4") {
			want = "old"
		} else if !strings.Contains(fmt.Sprint(p["intent"]), "timer.set") {
			t.Errorf("%s: a dry run does not tell of the end: %v", name, p)
		}
		if got := key(); got != want {
			t.Fatalf("%s: k is %s after the rollback", name, got)
		}
		if c.later != "" {
			a.must("PUT", "/kv/k", `{"value":"`+c.later+`"}`)
		}
		keeper := appender.NewTimekeeper(a.app, appender.TimekeeperOptions{Now: func() time.Time { return time.Now().Add(2 * time.Hour) }})
		keeper.Step(t.Context())
		if left := a.app.State().Agenda(); len(left) > 0 {
			t.Errorf("%s: %v pend", name, left)
		}
		if got := key(); got != c.want {
			t.Errorf("%s: k is %s in the end, want %s", name, got, c.want)
		}
		if _, there := a.app.State().Destination(netip.MustParsePrefix("10.1.0.0/16")); there {
			t.Errorf("%s: the temporary route is still there", name)
		}
	}
}
