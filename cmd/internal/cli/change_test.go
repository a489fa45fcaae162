package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestChangeRequests(t *testing.T) {
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	object := file("object.json", `{"events":[{"kind":"key.deleted","key":"k"}],"reason":"x"}`)
	events := file("events", "# two\n{\"kind\":\"key.deleted\",\"key\":\"k\"}\n\n{\"kind\":\"router.removed\",\"router\":\"r1\"}\n")
	for _, test := range []struct{ args, want string }{
		{"commit " + object + " --dry-run", `POST /v1/commits?dry_run=true&timeout=5s {"events":[{"kind":"key.deleted","key":"k"}],"reason":"x"}`},
		{"commit " + events + " --confirm-within 60s", `POST /v1/commits?confirm_within=60s&timeout=5s {"events":[{"kind":"key.deleted","key":"k"},{"kind":"router.removed","router":"r1"}]}`},
		{"confirm 7", `POST /v1/commits/7/confirm?timeout=5s`},
		{"confirm", `GET /v1/confirmations`},
		{"approve", `GET /v1/timers`},
		{"rollback 7 8 --dry-run", `POST /v1/rollback?dry_run=true&timeout=5s {"commits":[7,8]}`},
		{"rollback --to 7 --force --reason now", `POST /v1/rollback?force=true&reason=now&timeout=5s {"to":7}`},
		{"rollback --actor bob --since 2h", `POST /v1/rollback?timeout=5s {"actor":"bob","since":"2h"}`},
		{"rollback --within 10.0.0.0/8 --tag t --router r1 --since 9", `POST /v1/rollback?timeout=5s {"router":"r1","since":9,"tag":"t","within":"10.0.0.0/8"}`},
		{"guard set core protected --prefix 10.0.0.0/8", `PUT /v1/guards/core?timeout=5s {"prefixes":["10.0.0.0/8"],"type":"protected"}`},
		{"guard set s max_shrink --percent 10 --above 5", `PUT /v1/guards/s?timeout=5s {"above":5,"percent":10,"type":"max_shrink"}`},
		{"guard list", `GET /v1/guards`},
		{"guard rm core", `DELETE /v1/guards/core?timeout=5s`},
		{"freeze set w --router r1 --until 2030-01-01T00:00:00Z", `PUT /v1/freezes/w?timeout=5s {"routers":["r1"],"until":"2030-01-01T00:00:00Z"}`},
		{"freeze set w --all", `PUT /v1/freezes/w?timeout=5s {"all":true}`},
		{"freeze list", `GET /v1/freezes`},
		{"guard delete core", `DELETE /v1/guards/core?timeout=5s`},
		{"freeze delete w", `DELETE /v1/freezes/w?timeout=5s`},
		{"timer delete at-1", `DELETE /v1/timers/at-1?timeout=5s`},
		{"route remove 10.0.0.0/8", `DELETE /routes/10.0.0.0/8?timeout=5s`},
		{"router remove r1", `DELETE /v1/routers/r1?timeout=5s`},
		{"timer cancel at-1", `DELETE /v1/timers/at-1?timeout=5s`},
		{"route add 10.0.0.0/8 192.0.2.1 --dry-run --expires-in 1h", `POST /routes?dry_run=true&expires_in=1h&timeout=5s {"destination":"10.0.0.0/8","metric":0,"next_hop":"192.0.2.1"}`},
		{"link set r1 r2 --not-before 8h", `PUT /v1/links/r1/r2?not_before=8h&timeout=5s {}`},
		{"route import - --replace --scope tag:edge", "POST /v1/routes/import?mode=replace&scope=tag%3Aedge&timeout=5s line 1\nline 2"},
		{"route import - --atomic", "POST /v1/routes/import?atomic=true&timeout=5s line 1\nline 2"},
	} {
		e := &exchange{code: 200, answer: `{}`}
		if _, err := run(t, e, strings.Fields(test.args)...); err != nil {
			t.Errorf("%s: %v", test.args, err)
		}
		if e.request != test.want {
			t.Errorf("%s:\n got %s\nwant %s", test.args, e.request, test.want)
		}
	}
	for _, bad := range []string{"rollback", "rollback --since 5", "rollback 5 --to 3", "rollback --actor bob", "rollback 5 --since 3", "rollback --to 3 --router r1 --since 2", "confirm 7 --expires-in 2s", "confirm 7 --not-before 2s", "confirm 7 --confirm-within 2s", "confirm 7 --propose", "confirm 7 --if-match 3", "commit " + filepath.Join(dir, "absent"), "commit -", "rollback x", "rollback --reason r", "commit", "freeze set w", "freeze set w --until 2030-01-01T00:00:00Z", "freeze set w --all --router r1"} {
		if _, err := run(t, &exchange{code: 200, answer: `{}`}, strings.Fields(bad)...); ExitCode(err) != ExitUsage {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

func TestPreviewIsReadable(t *testing.T) {
	e := &exchange{code: 200, answer: `{"status":"previewed","dry_run":true,"revision":41,"events":4,"forced":["core"],
		"intent":{"added":1,"changed":1,"removed":1,"same":1,"items":[
			{"after":{"kind":"route.announced","router":"r1","destination":"10.2.0.0/16","next_hop":"192.0.2.1","metric":10}},
			{"before":{"kind":"route.announced","destination":"10.1.0.0/16","next_hop":"192.0.2.1","metric":10,"tags":["a"]},"after":{"kind":"route.announced","destination":"10.1.0.0/16","next_hop":"192.0.2.1","metric":5,"tags":["a"]}},
			{"before":{"kind":"link.set","a":"r1","b":"r2","name":"second","cost_ab":10}}],"items_left_out":7},
		"routers":[
			{"router":"r1","prefixes_before":1000003,"prefixes":1000002,"added":1,"removed":2,"changed":812345,
			 "entries":[{"destination":"10.2.0.0/16","after":[{"next_hop":"192.0.2.1","weight":1}]},
			            {"destination":"10.3.0.0/16","before":[{"next_hop":"192.0.2.1","weight":1}]}],"entries_left_out":1,
			 "groups":[{"prefixes":812345,"examples":["11.0.0.0/24","11.0.1.0/24"],"before":[{"next_hop":"10.0.0.2","weight":1,"via":"r2"}],"after":[{"next_hop":"10.0.0.3","weight":1,"via":"r3"}]}]},
			{"router":"r2","prefixes_before":5,"prefixes":5,"added":0,"removed":0,"changed":0}],
		"warnings":[{"kind":"prefix-lost","router":"r1","prefixes":2,"text":"2 prefixes leave the table, and nothing covers the first"}]}`}
	got, err := run(t, e, "route", "delete", "10.1.0.0/16", "--dry-run")
	if err != nil {
		t.Fatal(err)
	}
	const want = `dry run at revision 41: 4 events, nothing is stored
passes by force: core
intent: 1 added, 1 changed, 1 removed
  + route r1 10.2.0.0/16 192.0.2.1 metric 10
  ~ route 10.1.0.0/16 192.0.2.1: metric 10 -> metric 5
  - link r1-r2 (second) cost_ab 10
  … and 7 more
router r1: 1,000,003 to 1,000,002 prefixes (1 added, 812345 changed, 2 removed)
  + 10.2.0.0/16  192.0.2.1
  - 10.3.0.0/16  was 192.0.2.1
  … and 1 more
  ~ 812,345 prefixes  10.0.0.2 via r2 -> 10.0.0.3 via r3   such as 11.0.0.0/24, 11.0.1.0/24
no change at r2
! prefix-lost at r1: 2 prefixes leave the table, and nothing covers the first
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestUnconfirmedIsTold(t *testing.T) {
	e := &exchange{code: 201, answer: `{"status":"committed","id":"x","events":1,"revision":42,"confirm_by":"2026-11-22T12:00:00.000Z"}`}
	got, err := run(t, e, "commit", "testdata/commit", "--confirm-within", "60s")
	if err != nil || got != "committed at revision 42\nIt undoes itself unless confirmed by 2026-11-22T12:00:00.000Z: dvr confirm 42\n" {
		t.Errorf("%q, %v", got, err)
	}
}

// TestNothingToRollBack: it says so, and where to look.
func TestNothingToRollBack(t *testing.T) {
	got, err := run(t, &exchange{code: 200, answer: `{"status":"nothing to roll back","revision":7}`}, "rollback", "--actor", "bob", "--since", "2h")
	if want := "nothing to roll back at revision 7\nNo commit matches that is not taken back already: `dvr log list` has them all.\n"; err != nil || got != want {
		t.Errorf("%v\n%s", err, got)
	}
}

// TestAGuardsActorIsNoPartOfItsName: a change of it alone is told.
func TestAGuardsActorIsNoPartOfItsName(t *testing.T) {
	guard := func(actor string) map[string]any {
		return map[string]any{"kind": "guard.set", "name": "few", "type": "max_routes", "actor": actor}
	}
	if got := itemDiff(guard("eve"), guard("bob")); got != "~ guard few: actor eve -> actor bob" {
		t.Error(got)
	}
}
