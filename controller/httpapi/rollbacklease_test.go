package httpapi

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"dvr/controller/appender"
)

// timed is an API whose clock a test moves for what is due.
type timed struct{ *api }

// after does what is due then, from now.
func (a *timed) after(d time.Duration) {
	k := appender.NewTimekeeper(a.app, appender.TimekeeperOptions{Now: func() time.Time { return time.Now().Add(d) }})
	for k.Step(a.t.Context()) > 0 {
	}
}

func (a *timed) key() string {
	r := a.do("GET", "/kv/k", "")
	if r.Code == 404 {
		return ""
	}
	return fmt.Sprint(r.json(a.t)["value"])
}

func (a *timed) put(value, query string) float64 {
	return a.must("PUT", "/kv/k"+query, `{"value":"`+value+`"}`).json(a.t)["revision"].(float64)
}

func (a *timed) rollback(query string, commits ...float64) answer {
	var list []string
	for _, c := range commits {
		list = append(list, fmt.Sprint(c))
	}
	return a.do("POST", "/v1/rollback"+query, `{"commits":[`+strings.Join(list, ",")+`]}`)
}

// expect is the key's value after each time from now, in order.
func (a *timed) expect(what string, steps ...any) {
	a.t.Helper()
	for i := 0; i < len(steps); i += 2 {
		after := steps[i].(time.Duration)
		a.after(after)
		if got := a.key(); got != steps[i+1] {
			a.t.Errorf("%s: after %s k is %q, want %q", what, after, got, steps[i+1])
		}
	}
	if left := a.app.State().Agenda(); len(left) > 0 {
		a.t.Errorf("%s: %v pend", what, left)
	}
}

// wrongOver is k as it was, then for an hour, then wrong.
func wrongOver(t *testing.T) (a *timed, wrong float64) {
	a = &timed{newAPI(t)}
	a.put("old", "")
	a.put("temporary", "?expires_in=1h")
	return a, a.put("wrong", "")
}

// TestScheduledRollbackOfWhatIsTemporary: what is restored later, or when somebody
// approves it, ends when it would have; what is over by then does not come back.
func TestScheduledRollbackOfWhatIsTemporary(t *testing.T) {
	a, wrong := wrongOver(t)
	if r := a.rollback("?not_before=20m", wrong); r.Code != 202 && r.Code != 200 {
		t.Fatal(r.Code, r.Body)
	}
	a.expect("before its end", 10*time.Minute, "wrong", 30*time.Minute, "temporary", 2*time.Hour, "old")

	a, wrong = wrongOver(t)
	a.rollback("?not_before=2h", wrong)
	a.expect("after its end", 90*time.Minute, "wrong", 3*time.Hour, "old")

	a, wrong = wrongOver(t)
	p := a.rollback("?propose=true", wrong).json(t)
	a.must("POST", fmt.Sprintf("/v1/timers/%v/approve", p["timer"]), "", "X-DVR-Actor: carol")
	a.expect("approved", 30*time.Minute, "temporary", 2*time.Hour, "old")

}

// TestRollbackOverARollback: what an earlier rollback restored for a while is
// restored for that while by a later one, too, however often.
func TestRollbackOverARollback(t *testing.T) {
	a, wrong := wrongOver(t)
	a.rollback("", wrong)
	for range 3 {
		if r := a.rollback("", a.put("wrong again", "")); r.Code != 200 || a.key() != "temporary" {
			t.Fatalf("%d %s, k is %q", r.Code, r.Body, a.key())
		}
	}
	a.expect("again", 2*time.Hour, "old")

	a, wrong = wrongOver(t)
	first := a.rollback("", wrong).json(t)["revision"].(float64)
	second := a.rollback("", first).json(t)["revision"].(float64)
	if a.key() != "wrong" {
		t.Fatalf("k is %q", a.key())
	}
	a.rollback("", second)
	a.expect("a rollback, taken back twice", 30*time.Minute, "temporary", 2*time.Hour, "old")

	a, wrong = wrongOver(t)
	a.rollback("", wrong)
	a.put("short", "?expires_in=10m")
	a.expect("under another lifetime", 20*time.Minute, "temporary", 2*time.Hour, "old")
}

// TestRollbackAfterTheLifetime: what has ended while the wrong commit lay over it
// does not come back, neither what was not confirmed.
func TestRollbackAfterTheLifetime(t *testing.T) {
	a, wrong := wrongOver(t)
	a.after(2 * time.Hour)
	if r := a.rollback("", wrong); r.Code != 200 || a.key() != "old" {
		t.Errorf("%d %s, k is %q", r.Code, r.Body, a.key())
	}
	a = &timed{newAPI(t)}
	a.put("old", "")
	a.put("tried", "?confirm_within=1h")
	wrong = a.put("wrong", "")
	a.after(2 * time.Hour)
	if r := a.rollback("", wrong); r.Code != 200 || a.key() != "old" {
		t.Errorf("%d %s, k is %q", r.Code, r.Body, a.key())
	}
}

// TestRollbackUnderAConfirmation: what would be again as an unconfirmed commit
// made it is a conflict that names it, until that is confirmed or named, too.
func TestRollbackUnderAConfirmation(t *testing.T) {
	begin := func() (a *timed, tried, wrong float64) {
		a = &timed{newAPI(t)}
		a.put("old", "")
		tried = a.put("tried", "?confirm_within=1h")
		return a, tried, a.put("wrong", "")
	}
	a, tried, wrong := begin()
	for _, r := range []answer{a.rollback("", wrong), a.rollback("?dry_run=true", wrong), a.rollback("?not_before=1h", wrong), a.do("POST", "/v1/rollback", fmt.Sprintf(`{"to":%v}`, tried))} {
		m := r.json(t)
		list, _ := m["conflicts"].([]any)
		if r.Code != 409 || len(list) != 1 || !strings.Contains(r.Body, fmt.Sprintf("key \\\"k\\\" would be again as commit %v of anonymous made it, which is not confirmed", tried)) {
			t.Fatalf("%d %s", r.Code, r.Body)
		}
		if x := list[0].(map[string]any); x["cause"] != "unconfirmed" || x["commit"] != tried || x["actor"] != "anonymous" {
			t.Errorf("%v", x)
		}
	}
	a.must("POST", fmt.Sprintf("/v1/commits/%v/confirm", tried), "")
	a.rollback("", wrong)
	a.expect("confirmed", 2*time.Hour, "tried")

	a, tried, wrong = begin()
	if r := a.rollback("", tried, wrong); r.Code != 200 {
		t.Fatal(r.Code, r.Body)
	}
	a.expect("both", time.Minute, "old")
}

// TestRollbackUnderSeveralLifetimes: lifetimes over each other that would change
// the item more than once cannot go on; renewals of one can.
func TestRollbackUnderSeveralLifetimes(t *testing.T) {
	a := &timed{newAPI(t)}
	a.put("old", "")
	a.put("long", "?expires_in=2h")
	short := a.put("short", "?expires_in=1h")
	wrong := a.put("wrong", "")
	r := a.rollback("", wrong)
	if m := r.json(t); r.Code != 409 || fmt.Sprint(m["conflict_count"]) != "1" || !strings.Contains(r.Body, `"cause":"overlaid"`) || !strings.Contains(r.Body, "over another lifetime that ends later") {
		t.Fatalf("%d %s", r.Code, r.Body)
	}
	a.rollback("", short, wrong)
	a.expect("without the upper one", time.Minute, "long", 90*time.Minute, "long", 3*time.Hour, "old")

	a = &timed{newAPI(t)}
	a.put("old", "")
	a.put("temporary", "?expires_in=1h")
	a.put("temporary", "?expires_in=2h")
	a.rollback("", a.put("wrong", ""))
	a.expect("renewed", 90*time.Minute, "temporary", 3*time.Hour, "old")
}

// TestConfirmableRollbackOfWhatIsTemporary: unconfirmed, the rollback is undone
// with what it lent; it cannot be for a while itself.
func TestConfirmableRollbackOfWhatIsTemporary(t *testing.T) {
	a, wrong := wrongOver(t)
	if r := a.rollback("?expires_in=5m", wrong); r.Code != 400 || !strings.Contains(r.Body, `"field":"expires_in"`) {
		t.Errorf("%d %s", r.Code, r.Body)
	}
	if r := a.rollback("?confirm_within=10m", wrong); r.Code != 200 || a.key() != "temporary" {
		t.Fatalf("%d %s, k is %q", r.Code, r.Body, a.key())
	}
	a.expect("unconfirmed", 20*time.Minute, "wrong", 2*time.Hour, "wrong")

	a, wrong = wrongOver(t)
	m := a.rollback("?confirm_within=10m", wrong).json(t)
	a.must("POST", fmt.Sprintf("/v1/commits/%v/confirm", m["revision"]), "")
	a.expect("confirmed", 20*time.Minute, "temporary", 2*time.Hour, "old")
}
