package cli

import (
	"strings"
	"testing"
)

// TestGroupsAreOneLine: of a router whatever leaves the same next hops for the
// same others is one line with the sum of the prefixes, in diff and preview.
func TestGroupsAreOneLine(t *testing.T) {
	line := func(kind, router, change, before, after string, prefixes string) string {
		return `{"kind":"` + kind + `","change":"` + change + `","router":"` + router + `","destination":"10.9.0.0/16","prefixes":` + prefixes + `,"examples":["10.` + prefixes + `.0.0/16"],"before":` + before + `,"after":` + after + `}`
	}
	a, b := `[{"next_hop":"192.0.2.1","weight":1}]`, `[{"next_hop":"192.0.2.2","weight":1}]`
	stream := strings.Join([]string{
		`{"kind":"diff","from":{"revision":1,"time":"T1"},"to":{"revision":2,"time":"T2"}}`,
		line("group", "r1", "changed", a, b, "3"), line("group", "r1", "changed", b, a, "5"), line("group", "r1", "changed", a, b, "1000"),
		line("group", "r1", "removed", a, "null", "2"),
		`{"kind":"entry","change":"changed","router":"r1","destination":"10.9.0.0/16","before":` + a + `,"after":` + b + `}`,
		line("group", "r2", "changed", a, b, "7"),
		`{"kind":"end"}`,
	}, "\n") + "\n"
	out, err := run(t, &exchange{code: 200, answer: stream}, "diff", "1", "2")
	if err != nil {
		t.Fatal(err)
	}
	r1, r2, _ := strings.Cut(out, "FIB of r2")
	for _, want := range []string{"1,003 prefixes (10.3.0.0/16", "5 prefixes (", "2 prefixes (", "10.9.0.0/16: "} {
		if strings.Count(r1, want) != 1 {
			t.Errorf("%q is not there once:\n%s", want, out)
		}
	}
	if n := strings.Count(r1, "\n  "); n != 4 || strings.Index(r1, "10.9.0.0/16") < strings.Index(r1, "2 prefixes") {
		t.Errorf("%d lines of r1, or an entry before the groups:\n%s", n, out)
	}
	if !strings.Contains(r2, "7 prefixes") || !strings.Contains(r2, "~1009") {
		t.Errorf("r2 and the sums:\n%s", out)
	}
	// The limit counts the lines that are printed.
	if out, err = run(t, &exchange{code: 200, answer: stream}, "diff", "1", "2", "--limit", "3"); err != nil || !strings.Contains(out, "(1 more lines: --limit 0 shows all)") {
		t.Errorf("%v:\n%s", err, out)
	}

	preview := `{"dry_run":true,"revision":7,"events":1,"intent":{"added":0,"changed":1,"removed":0,"same":0,"items":[]},"routers":[{"router":"r1","prefixes_before":9,"prefixes":9,"added":0,"removed":0,"changed":9,
		"entries":[],"groups":[{"prefixes":4,"examples":["10.1.0.0/16"],"before":` + a + `,"after":` + b + `},{"prefixes":5,"examples":["10.2.0.0/16"],"before":` + a + `,"after":` + b + `}]}],"warnings":[]}`
	out, err = run(t, &exchange{code: 200, answer: preview}, "link", "down", "r1", "r2", "--dry-run")
	if err != nil || !strings.Contains(out, "  ~ 9 prefixes ") || strings.Contains(out, "~ 4 prefixes") {
		t.Errorf("%v:\n%s", err, out)
	}
}
