package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"dvr/cmd/internal/client"
)

var topNow = time.Date(2026, 11, 22, 15, 4, 5, 0, time.UTC)

func tellAll(t *testing.T, o *overall, messages ...string) {
	t.Helper()
	for _, m := range messages {
		kind, data, _ := strings.Cut(m, " ")
		if err := o.tell(client.Event{Kind: kind, Data: []byte(data)}, topNow); err != nil {
			t.Fatal(err)
		}
	}
}

func sampleOverall(t *testing.T) *overall {
	o := newOverall()
	if err := json.Unmarshal([]byte(`{"node_id":"node1","quorum":true,"revision":1060,"state":{"destinations4":901908,"destinations6":160147,"routes":1062055,"routers":9,"links":14,"keys":1},"store":{"bytes":146590000,"quota":8589934592}}`), &o.status); err != nil {
		t.Fatal(err)
	}
	o.begun = 1060
	tellAll(t, o,
		`nodes {"node_id":"node2","role":"voter","leader":false,"online":true,"api":"127.0.0.1:9010"}`,
		`nodes {"node_id":"node1","role":"voter","leader":true,"online":true,"api":"127.0.0.1:9000"}`,
		`dataplanes {"router":"fra","node":"node2","sinks":["memory"],"connected":true,"digest_equal":true,"position":{"revision":1066}}`,
		`dataplanes {"router":"ams","node":"node1","sinks":["kernel"],"connected":true,"digest_equal":true,"position":{"revision":1066}}`,
		`commits {"revision":1059,"time":"2026-11-22T15:00:00Z","actor":"demo","n":50000}`,
		`commits {"revision":1066,"time":"2026-11-22T15:04:04Z","actor":"bgp@lon","reason":"path\u001b[31m change","n":4}`,
	)
	return o
}

func TestTopFrame(t *testing.T) {
	saved := time.Local
	time.Local = time.UTC
	t.Cleanup(func() { time.Local = saved })
	o := sampleOverall(t)
	got := strings.Join(o.frame(100, 30, topNow.Add(time.Second)), "\n")
	want := `dvr top  15:04:06  asks node1  all is well
revision 1,066  0.0 commits/s over 60 s                                                   █
1,062,055 routes, 901,908 + 160,147 destinations, 9 routers, 14 links, 1 keys, store 139.8 MiB of 8…

NODE   ROLE   STATE   API
node1  voter  leads   127.0.0.1:9000
node2  voter  online  127.0.0.1:9010

ROUTER  STATE    REVISION  FAILED  SINK    NODE
ams     in sync  1066      0       kernel  node1
fra     in sync  1066      0       memory  node2

REVISION  TIME      ACTOR    EVENTS  REASON
1066      15:04:04  bgp@lon  4       path [31m change
1059      15:00:00  demo     50000   -`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestTopSaysWhatIsWrong: each trouble alone is told, and gone again when it is over.
func TestTopSaysWhatIsWrong(t *testing.T) {
	o := sampleOverall(t)
	for _, test := range []struct{ message, after, want string }{
		{`nodes {"node_id":"node2","role":"voter","online":false}`, `nodes {"node_id":"node2","role":"voter","online":true}`, "1 of 2 nodes away"},
		{`nodes {"node_id":"node2","role":"voter","online":true,"alarms":[{"alarm":"disk_full","detail":"d","do":"x"}]}`, `nodes {"node_id":"node2","role":"voter","online":true}`, "alarm at node2: disk_full"},
		{`dataplanes {"router":"new","connected":true,"digest_equal":false,"position":{"revision":0}}`, `dataplanes {"router":"new","gone":true}`, "1 of 3 data planes not in sync"},
		{`dataplanes {"router":"fra","connected":false,"digest_equal":true,"position":{"revision":1066}}`, `dataplanes {"router":"fra","gone":true}`, "1 of 2 data planes not in sync"},
		{`dataplanes {"router":"ams","connected":true,"digest_equal":true,"failed":3,"position":{"revision":1066}}`, `dataplanes {"router":"ams","gone":true}`, "1 of 1 data planes not in sync"},
		{`dataplanes {"router":"x","connected":true,"digest_equal":false,"position":{"revision":1066}}`, `dataplanes {"router":"x","connected":true,"digest_equal":true,"position":{"revision":1066}}`, "1 of 1 data planes"},
	} {
		tellAll(t, o, test.message)
		if got := strings.Join(o.troubles(), "; "); !strings.Contains(got, test.want) {
			t.Errorf("after %s: %q", test.message, got)
		}
		tellAll(t, o, test.after)
		if got := o.troubles(); len(got) != 0 {
			t.Errorf("after %s: %q", test.after, got)
		}
	}
	o.status.Quorum, o.status.Fault = false, "hole"
	if got := strings.Join(o.troubles(), "; "); got != "the log cannot be folded on; NO QUORUM" {
		t.Error(got)
	}
}

// TestTopFits: whatever the terminal's size, no line is longer and there are no more of them.
func TestTopFits(t *testing.T) {
	o := sampleOverall(t)
	for i := range 40 {
		tellAll(t, o, fmt.Sprintf(`nodes {"node_id":"n%02d","role":"observer","online":true,"api":"10.0.0.%d:9000"}`, i, i),
			fmt.Sprintf(`dataplanes {"router":"r%02d","connected":true,"digest_equal":true,"position":{"revision":1066}}`, i))
	}
	for i := range 500 {
		tellAll(t, o, fmt.Sprintf(`commits {"revision":%d,"time":"2026-11-22T15:04:04Z","actor":"a","reason":%q,"n":1}`, 2000+i, strings.Repeat("ü", i)))
	}
	if len(o.recent) != keptCommits {
		t.Errorf("%d commits are kept", len(o.recent))
	}
	for _, width := range []int{0, 1, 20, 80, 300} {
		for height := range 120 {
			lines := o.frame(width, height, topNow)
			if len(lines) > height {
				t.Fatalf("%d lines of %d", len(lines), height)
			}
			for _, l := range lines {
				if utf8.RuneCountInString(l) > width {
					t.Fatalf("%d columns: %q", width, l)
				}
			}
		}
	}
	text := strings.Join(o.frame(80, 40, topNow), "\n")
	for _, want := range []string{"NODE ", "… and ", "ROUTER ", "REVISION  TIME", "2499 "} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

func TestTopRates(t *testing.T) {
	o := newOverall()
	for i := range 200 {
		for range i % 3 {
			o.count(topNow.Add(time.Duration(i-200) * time.Second))
		}
	}
	rates := o.rates(topNow)
	if rates[rateSpan-1] != 199%3 || rates[rateSpan-2] != 198%3 || len(o.seconds) > rateSpan {
		t.Errorf("%v", rates)
	}
	if got := sparks([]int{0, 1, 4, 8}, 3); got != "▁▄█" {
		t.Errorf("%q", got)
	}
}

// TestTopOnce asks a server, prints one overview and ends.
func TestTopOnce(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/v1/status":
			_, _ = w.Write([]byte(`{"node_id":"node1","quorum":true,"revision":90,"state":{},"store":{"bytes":1,"quota":2}}`))
		case "/v1/freezes":
			_, _ = w.Write([]byte(`{"freezes":[{"revision":1,"event":{"kind":"freeze.set","name":"weekend"}}],"revision":90}`))
		case "/v1/watch":
			if q := r.URL.Query(); q.Get("kinds") != "commits,dataplanes,nodes" || q.Get("after") != "40" {
				t.Errorf("%v", q)
			}
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = w.Write([]byte("event: nodes\ndata: {\"node_id\":\"node1\",\"role\":\"voter\",\"leader\":true,\"online\":true}\n\n"))
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}
	}))
	defer s.Close()
	var out bytes.Buffer
	root := Root(Streams{In: strings.NewReader(""), Out: &out, Err: &out})
	root.SetArgs([]string{"--endpoint", s.URL, "top", "--once"})
	if err := root.ExecuteContext(context.Background()); err != nil || !strings.Contains(out.String(), "node1  voter  leads") || !strings.Contains(out.String(), "FROZEN by weekend\n") || strings.Contains(out.String(), "\x1b") {
		t.Errorf("%v\n%s", err, &out)
	}
	if _, err := run(t, &exchange{code: 200}, "top", "-o", "json"); ExitCode(err) != ExitUsage {
		t.Error(err)
	}
}

// TestTopIsCurrentOrSaysNot: while no stream tells, that is the verdict; after
// the next one has told all, what has gone meanwhile is gone, and what is known
// before that is not called well.
func TestTopIsCurrentOrSaysNot(t *testing.T) {
	o := sampleOverall(t)
	top := func() string { return o.frame(140, 30, topNow)[0] }
	has := func(want bool, what ...string) {
		t.Helper()
		frame := strings.Join(o.frame(140, 30, topNow), "\n")
		for _, w := range what {
			if strings.Contains(frame, w) != want {
				t.Errorf("%q is there: %v, want %v\n%s", w, !want, want, frame)
			}
		}
	}
	has(true, "all is well", "node2", "fra")
	tellAll(t, o, "broken ")
	if got := top(); strings.Contains(got, "well") || !strings.Contains(got, "NOT CURRENT: no node tells since 15:04:05") {
		t.Error(got)
	}
	tellAll(t, o, "opened ", `nodes {"node_id":"node1","role":"voter","leader":true,"online":true}`, `commits {"revision":1066,"n":4}`)
	has(true, "NOT CURRENT", "node2", "fra")
	tellAll(t, o, `told {"kind":"nodes"}`)
	has(false, "node2  voter")
	has(true, "NOT CURRENT", "fra")
	tellAll(t, o, `dataplanes {"router":"ams","node":"node1","sinks":["kernel"],"connected":true,"digest_equal":true,"position":{"revision":1066}}`, `told {"kind":"dataplanes"}`)
	has(false, "NOT CURRENT", "fra ")
	has(true, "all is well", "ams")
	if len(o.recent) != 2 {
		t.Errorf("a commit that was told again is there twice: %v", o.recent)
	}
	// A stream that breaks before it has told all is no better.
	tellAll(t, o, "broken ", "opened ", `told {"kind":"nodes"}`, "broken ", "opened ", `told {"kind":"nodes"}`)
	has(true, "NOT CURRENT", "ams")
	tellAll(t, o, `told {"kind":"dataplanes"}`)
	has(false, "NOT CURRENT", "ams")
	// The first stream: nothing is well before it is told.
	o = newOverall()
	tellAll(t, o, "opened ")
	has(true, "asking")
}
