package cli

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"dvr/eventlog"
)

// TestWatchKeysPrints: each change as it comes, in each output, over breaks of
// the stream, until a node says that it cannot go on.
func TestWatchKeysPrints(t *testing.T) {
	for output, want := range map[string]string{
		"table": "3 T alice put \"a b \" \"x\\ny\"\n4 T alice delete a/1 -\n5 T bob put b z\n",
		"json": `{"event":"put","key":"a b ","value":"x\ny","revision":3,"time":"T","actor":"alice"}` + "\n" +
			`{"event":"delete","key":"a/1","revision":4,"time":"T","actor":"alice"}` + "\n" +
			`{"event":"put","key":"b","value":"z","revision":5,"time":"T","actor":"bob"}` + "\n",
		"yaml": "---\nactor: alice\nevent: put\nkey: 'a b '\nrevision: 3\ntime: T\nvalue: |-\n x\n y\n---\nactor: alice\nevent: delete\nkey: a/1\nrevision: 4\ntime: T\n" +
			"---\nactor: bob\nevent: put\nkey: b\nrevision: 5\ntime: T\nvalue: z\n",
	} {
		var asked []string
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked = append(asked, r.URL.RequestURI()+" "+r.Header.Get("Last-Event-ID"))
			switch len(asked) {
			case 1:
				fmt.Fprint(w, "retry: 1\nid: L/1/2\n: heartbeat\n\nid: L/1/3\nevent: put\ndata: {\"key\":\"a b \",\"value\":\"x\\ny\",\"revision\":3,\"time\":\"T\",\"actor\":\"alice\"}\n\n"+
					"id: L/1/4\nevent: delete\ndata: {\"key\":\"a/1\",\"revision\":4,\"time\":\"T\",\"actor\":\"alice\"}\n\nid: L/1/5\nevent: put\ndata: {\"key\"")
			case 2:
				fmt.Fprint(w, "id: L/1/5\nevent: put\ndata: {\"key\":\"b\",\"value\":\"z\",\"revision\":5,\"time\":\"T\",\"actor\":\"bob\"}\n\n")
			default:
				w.WriteHeader(http.StatusGone)
			}
		}))
		var out bytes.Buffer
		root := Root(Streams{In: strings.NewReader(""), Out: &out, Err: &out})
		root.SetArgs([]string{"--endpoint", s.URL, "-o", output, "kv", "watch", "--prefix", "a", "--after", "2"})
		err := root.ExecuteContext(context.Background())
		s.Close()
		if ExitCode(err) != ExitNotFound || squeeze(out.String()) != squeeze(want) {
			t.Errorf("%s: %v\n%s\nwant\n%s", output, err, out.String(), want)
		}
		if got := strings.Join(asked, "|"); got != "/v1/kv/watch?after=2&prefix=a |/v1/kv/watch?after=2&prefix=a L/1/4|/v1/kv/watch?after=2&prefix=a L/1/5" {
			t.Errorf("asked %s", got)
		}
	}
}

// TestHistoryFollowsPages: short and empty pages are joined.
func TestHistoryFollowsPages(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch q := r.URL.RawQuery; q {
		case "limit=3":
			fmt.Fprint(w, `{"key":"k","changes":[{"revision":90,"event":"put","value":"v"}],"next":80,"log_begins":1,"revision":99}`)
		case "before=80&limit=2":
			fmt.Fprint(w, `{"key":"k","changes":[],"next":20,"log_begins":1,"revision":99}`)
		case "before=20&limit=2":
			fmt.Fprint(w, `{"key":"k","changes":[{"revision":9,"event":"delete"}],"log_begins":1,"revision":99}`)
		default:
			t.Errorf("asked %s", q)
		}
	}))
	defer s.Close()
	var out bytes.Buffer
	root := Root(Streams{In: strings.NewReader(""), Out: &out, Err: &out})
	root.SetArgs([]string{"--endpoint", s.URL, "kv", "history", "k", "--limit", "3"})
	if err := root.ExecuteContext(context.Background()); err != nil {
		t.Fatal(err)
	}
	if want := "REVISION TIME ACTOR EVENT VALUE REASON\n90 - - put v -\n9 - - delete - -\n"; squeeze(out.String()) != want {
		t.Errorf("%s", out.String())
	}
}

// TestLongValuesAreRefusedHere: what no node takes is not sent.
func TestLongValuesAreRefusedHere(t *testing.T) {
	e := &exchange{code: 200, answer: `{}`}
	s := httptest.NewServer(e)
	defer s.Close()
	for _, c := range []struct {
		length int
		code   int
	}{{eventlog.MaxValue, ExitOK}, {eventlog.MaxValue + 1, ExitUsage}} {
		var out bytes.Buffer
		root := Root(Streams{In: strings.NewReader(strings.Repeat("x", c.length)), Out: &out, Err: &out})
		root.SetArgs([]string{"--endpoint", s.URL, "kv", "put", "k"})
		if err := root.ExecuteContext(context.Background()); ExitCode(err) != c.code {
			t.Errorf("%d bytes: %v", c.length, err)
		}
	}
}
