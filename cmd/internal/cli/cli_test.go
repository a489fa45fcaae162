package cli

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/spf13/cobra"

	"dvr/cmd/internal/client"
)

// exchange is one request as the fake node saw it and what it answers.
type exchange struct {
	request string // "METHOD path?query body"
	header  http.Header
	code    int
	answer  string
}

func (e *exchange) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	e.request = strings.TrimSpace(r.Method + " " + r.URL.RequestURI() + " " + string(body))
	e.header = r.Header
	w.WriteHeader(e.code)
	io.WriteString(w, e.answer)
}

// run executes the verbs of this package against e.
func run(t *testing.T, e http.Handler, args ...string) (stdout string, err error) {
	t.Helper()
	s := httptest.NewServer(e)
	t.Cleanup(s.Close)
	var out, errOut bytes.Buffer
	root := Root(Streams{In: strings.NewReader("line 1\nline 2\n"), Out: &out, Err: &errOut})
	root.SetArgs(append([]string{"--endpoint", s.URL, "--timeout", "5s"}, args...))
	err = root.ExecuteContext(context.Background())
	return out.String(), err
}

func TestRequests(t *testing.T) {
	for _, test := range []struct {
		args string
		want string
	}{
		{"route add 10.1.0.0/16 192.168.1.1 --metric 100", `POST /routes?timeout=5s {"destination":"10.1.0.0/16","metric":100,"next_hop":"192.168.1.1"}`},
		{"route add 10.9.0.0/16 --type blackhole --router r1 --tag a --tag b --reason scan", `POST /routes?reason=scan&timeout=5s {"destination":"10.9.0.0/16","metric":0,"router":"r1","tags":["a","b"],"type":"blackhole"}`},
		{"route add ::/0 fe80::1 --interface eth0 --preference 5 --weight 3 --wait installed --require r1,r2", `POST /routes?require=r1%2Cr2&timeout=5s&wait=installed {"destination":"::/0","interface":"eth0","metric":0,"next_hop":"fe80::1","preference":5,"weight":3}`},
		{"route set 10.1.0.0/16 192.168.1.1", `PUT /routes/10.1.0.0/16?timeout=5s {"metric":0,"next_hop":"192.168.1.1"}`},
		{"route delete 2001:db8::/32 --next-hop fd00::1 --router r2", `DELETE /routes/2001:db8::/32?next_hop=fd00%3A%3A1&router=r2&timeout=5s`},
		{"route get 10.1.0.0/16", `GET /routes/10.1.0.0/16`},
		{"route get 10.1.0.1/16", `GET /routes/10.1.0.1/16`}, // what is wrong with it the node says
		{"route ls --limit 5", `GET /v1/routes?limit=5`},
		{"router rm r1", `DELETE /v1/routers/r1?timeout=5s`},
		{"cluster rm n3", `DELETE /v1/cluster/members/n3`},
		{"route list --within 10.0.0.0/8 --limit 5", `GET /v1/routes?limit=5&within=10.0.0.0%2F8`},
		{"route list --covering 10.1.2.3 --next-hop 192.168.1.1 --router r1 --cursor x", `GET /v1/routes?covering=10.1.2.3&cursor=x&limit=100&next_hop=192.168.1.1&router=r1`},
		{"route export --covering 10.1.2.3 --next-hop 192.168.1.1", `GET /v1/routes?covering=10.1.2.3&next_hop=192.168.1.1`},
		{"vector r1 --after 10.0.0.0/8", `GET /v1/routers/r1/vector?after=10.0.0.0%2F8&limit=100`},
		{"route lookup 10.1.2.3 --router r1 --source dataplane", `GET /v1/lookup?address=10.1.2.3&router=r1&source=dataplane`},
		{"route import -", "POST /v1/routes/import?timeout=5s line 1\nline 2"},
		{"router set r1 --description core", `PUT /v1/routers/r1?timeout=5s {"description":"core"}`},
		{"router add r1", `PUT /v1/routers/r1?timeout=5s {}`},
		{"link add r1 r2 --cost 10", `PUT /v1/links/r1/r2?timeout=5s {"cost_ab":10,"cost_ba":10}`},
		{"router delete r1", `DELETE /v1/routers/r1?timeout=5s`},
		{"link set r1 r2 --cost 10 --address-a 10.0.0.1,fd00::1", `PUT /v1/links/r1/r2?timeout=5s {"address_a":["10.0.0.1","fd00::1"],"cost_ab":10,"cost_ba":10}`},
		{"link set r1 r2 --name spare --cost 10 --cost-ba 30 --down", `PUT /v1/links/r1/r2?name=spare&timeout=5s {"cost_ab":10,"cost_ba":30,"down":true}`},
		{"link delete r1 r2 --name spare", `DELETE /v1/links/r1/r2?name=spare&timeout=5s`},
		{"vector r1", `GET /v1/routers/r1/vector?limit=100`},
		{"router rib r1 --limit 5", `GET /v1/routers/r1/rib?limit=5`},
		{"router fib r1 --after 10.0.0.0/8", `GET /v1/routers/r1/fib?after=10.0.0.0%2F8&limit=100`},
		{"router set r1 --drained soft", `PUT /v1/routers/r1?timeout=5s {"drained":"soft"}`},
		{"router set r1 --probe 5s --probe 192.0.2.1=500ms --probe %eth1=1m --probe fe80::1%eth0=1s",
			`PUT /v1/routers/r1?timeout=5s {"probes":[{"interval_ms":5000},{"interval_ms":500,"next_hop":"192.0.2.1"},{"interface":"eth1","interval_ms":60000},{"interface":"eth0","interval_ms":1000,"next_hop":"fe80::1"}]}`},
		{"router drain r1 --reason cut", `POST /v1/routers/r1/drain?reason=cut&timeout=5s`},
		{"router drain r1 --hard", `POST /v1/routers/r1/drain?hard=true&timeout=5s`},
		{"router undrain r1", `POST /v1/routers/r1/undrain?timeout=5s`},
		{"link down r1 r2 --reason cut", `POST /v1/links/r1/r2/down?reason=cut&timeout=5s`},
		{"link up r2 r1 --name spare", `POST /v1/links/r2/r1/up?name=spare&timeout=5s`},
		{"log list --after 7", `GET /v1/commits?after=7&limit=100`},
		{"log list --limit 5", `GET /v1/commits?after=0&limit=5`},
		{"log list", `GET /v1/commits?after=0&limit=20`},
		{"log list --last 7", `GET /v1/commits?after=0&limit=7`},
		{"log list --after 0", `GET /v1/commits?after=0&limit=100`},
		{"log show 8", `GET /v1/commits/8?limit=1000`},
		{"log show 8 --limit 5 --cursor 10", `GET /v1/commits/8?cursor=10&limit=5`},
		{"log show 8 --all", `GET /v1/commits/8`},
		{"dataplane list", `GET /v1/dataplanes`},
		{"dataplane lookup 10.0.0.1 --router r1", `GET /v1/lookup?address=10.0.0.1&router=r1&source=dataplane`},
		{"dataplane audit --router r1", `POST /v1/dataplanes/r1/audit?timeout=5s`},
		{"kv put raft algorithm --reason seed", `PUT /kv/raft?reason=seed&timeout=5s {"value":"algorithm"}`},
		{"kv put a/b%2F?#ü/.. <v>", `PUT /kv/a%2Fb%252F%3F%23%C3%BC%2F..?timeout=5s {"value":"\u003cv\u003e"}`},
		{"kv put raft", `PUT /kv/raft?timeout=5s {"value":"line 1\nline 2\n"}`},
		{"kv put raft --file -", `PUT /kv/raft?timeout=5s {"value":"line 1\nline 2\n"}`},
		{"kv put raft --file testdata/value", `PUT /kv/raft?timeout=5s {"value":"from a file\n"}`},
		{"kv get a/b", `GET /kv/a%2Fb`},
		{"kv get a/b --at 7", `GET /kv/a%2Fb?at=7`},
		{"kv delete raft --wait logged", `DELETE /kv/raft?timeout=5s&wait=logged`},
		{"kv list", `GET /kv`},
		{"kv list --prefix a/ --limit 5 --at 7", `GET /kv?at=7&limit=5&prefix=a%2F`},
		{"kv history a/b --limit 5 --before 9", `GET /v1/kv/history/a%2Fb?before=9&limit=5`},
		{"status", `GET /v1/cluster/members`}, // after /v1/status and /v1/dataplanes
		{"-o json status", `GET /v1/status`},
		{"ready", `GET /readyz`},
	} {
		e := &exchange{code: 200, answer: `{}`}
		if _, err := run(t, e, strings.Fields(test.args)...); err != nil {
			t.Errorf("%s: %v", test.args, err)
		}
		if e.request != test.want {
			t.Errorf("%s:\n got %s\nwant %s", test.args, e.request, test.want)
		}
	}
}

func TestTables(t *testing.T) {
	for _, test := range []struct{ args, answer, want string }{
		{"route add 10.1.0.0/16 192.168.1.1", `{"destination":"10.1.0.0/16","status":"route added","revision":12,"installed":["r1"]}`,
			"10.1.0.0/16: route added at revision 12\ninstalled r1\n"},
		{"route add 10.1.0.0/16 192.168.1.1 --not-before 1h", `{"destination":"10.1.0.0/16","status":"route added","revision":12,"timer":"at-1","timer_at":"T"}`,
			"10.1.0.0/16: scheduled at revision 12\nIt is done at T, unless: dvr timer cancel at-1\n"},
		{"route add 10.1.0.0/16 192.168.1.1 --expires-in 1h", `{"destination":"10.1.0.0/16","status":"route added","revision":12,"timer":"until-1","timer_at":"T"}`,
			"10.1.0.0/16: route added at revision 12\nIt is taken back at T, unless: dvr timer cancel until-1\n"},
		{"route add 10.1.0.0/16 192.168.1.1 --propose", `{"destination":"10.1.0.0/16","status":"route added","revision":12,"timer":"proposal-1","timer_at":"T"}`,
			"10.1.0.0/16: proposed at revision 12\nAnother actor does it until T: dvr approve proposal-1\n"},
		{"route list", `{"routes":[{"router":"*","destination":"10.1.0.0/16","next_hop":"192.168.1.1","metric":100,"preference":1,"weight":1,"revision":2},{"router":"r1","destination":"::/0","next_hop":"fe80::1","interface":"eth0","weight":3,"metric":0,"preference":5,"revision":3},{"router":"*","destination":"10.9.0.0/16","type":"blackhole","metric":0,"preference":1,"weight":1,"revision":4}],"next":"x"}`,
			"DESTINATION ROUTER NEXT HOP PREF METRIC REVISION\n10.1.0.0/16 * 192.168.1.1 1 100 2\n::/0 r1 fe80::1 dev eth0 weight 3 5 0 3\n10.9.0.0/16 * blackhole 1 0 4\n(more: --cursor x; all: `dvr route export`)\n"},
		{"route get 10.1.0.0/16", `{"destination":"10.1.0.0/16","candidates":[{"router":"*","next_hop":"192.168.1.1","metric":100,"metric_here":110,"preference":1,"weight":1,"chosen":true,"revision":2},{"router":"r1","type":"prohibit","metric":1,"metric_here":1,"preference":9,"chosen":false,"why":"preference 9 is behind 1","revision":3}]}`,
			"CHOSEN ROUTER NEXT HOP PREF METRIC REVISION WHY\nyes * 192.168.1.1 1 110 2 -\nno r1 prohibit 9 1 3 preference 9 is behind 1\n"},
		{"vector r1", `{"vector":[{"destination":"10.1.0.0/16","preference":1,"metric":120,"via":["r2"],"origin":["r3"],"next_hops":[{"next_hop":"10.0.0.2","via":"r2","weight":1}]},{"destination":"10.2.0.0/16","preference":1,"metric":0,"via":[],"origin":["r1"],"next_hops":[{"next_hop":null,"type":"blackhole","weight":1}]}],"next":"10.2.0.0/16"}`,
			"DESTINATION PREF METRIC VIA ORIGIN NEXT HOPS\n10.1.0.0/16 1 120 r2 r3 10.0.0.2 via r2\n10.2.0.0/16 1 0 (own route) r1 blackhole\n(more: --after 10.2.0.0/16)\n"},
		{"guard list", `{"guards":[{"revision":3,"event":{"kind":"guard.set","name":"few","type":"max_routes","actor":"eve","limit":1}}]}`, "NAME WHAT REVISION\nfew actor eve limit 1 type max_routes 3\n"},
		{"timer list", `{"timers":[{"revision":3,"event":{"kind":"timer.set","name":"at-1","at":"T","events":[{"kind":"route.announced","destination":"10.1.0.0/16","next_hop":"192.168.1.1"},{"kind":"route.withdrawn","router":"r1","destination":"10.2.0.0/16","next_hop":"192.168.1.2"}],"proposer":"ci"}},{"revision":4,"event":{"kind":"timer.set","name":"until-2","at":"T","undo":true}},{"revision":5,"event":{"kind":"timer.set","name":"at-3","at":"T","events":[{"kind":"key.put","key":"a"},{"kind":"key.put","key":"b"},{"kind":"key.put","key":"c"},{"kind":"key.put","key":"d"},{"kind":"key.put","key":"e"}]}}]}`,
			"NAME WHAT REVISION\nat-1 at T events route.announced 10.1.0.0/16 192.168.1.1, route.withdrawn r1 10.2.0.0/16 192.168.1.2 proposer ci 3\nuntil-2 at T undo yes 4\nat-3 at T events key.put a, key.put b, key.put c, 2 more 5\n"},
		{"approve", `{"timers":[{"revision":3,"event":{"kind":"timer.set","name":"proposal-1","at":"T","events":[{"kind":"route.announced","destination":"10.1.0.0/16","next_hop":"192.168.1.1"}],"proposer":"ci"}},{"revision":4,"event":{"kind":"timer.set","name":"until-2","at":"T","undo":true}}]}`,
			"NAME BY LAPSES WHAT REVISION\nproposal-1 ci T route.announced 10.1.0.0/16 192.168.1.1 3\n"},
		{"approve", `{"timers":[]}`, "NAME BY LAPSES WHAT REVISION\n"},
		{"log list", `{"commits":[{"revision":3,"time":"2026-11-21T22:00:00.000Z","actor":"alice","n":2,"reason":"peer","id":"k"}]}`,
			"REVISION TIME ACTOR WHAT REASON ID\n3 2026-11-21T22:00:00.000Z alice 2 events peer k\n"},
		{"log show 3", `{"revision":3,"id":"k","time":"2026-11-21T22:00:00.000Z","actor":"alice","n":1,"events":[{"kind":"route.withdrawn","destination":"10.1.0.0/16","next_hop":"192.168.1.1"}]}`,
			"revision 3\ntime 2026-11-21T22:00:00.000Z\nactor alice\nid k\nevent route.withdrawn destination=10.1.0.0/16 next_hop=192.168.1.1\n"},
		{"log show 3 --limit 1", `{"revision":3,"n":1000000,"staged":{"id":"s"},"events":[{"kind":"key.put","key":"a"}],"next":1}`,
			"revision 3\nevent key.put key=a\n(1 of 1,000,000 events; the next: --cursor 1; every one as a line: --all)\n"},
		{"log show 3 --cursor 9", `{"revision":3,"n":2,"events":[]}`, "revision 3\nevents no more\n"},
		{"log show 3", `{"revision":3,"n":0,"events":[]}`, "revision 3\nevents none\n"},
		{"log show 3 --all", "{\"kind\":\"key.put\"}\n{\"kind\":\"key.deleted\"}\n", "{\"kind\":\"key.put\"}\n{\"kind\":\"key.deleted\"}\n"},
		{"log list --after 2", `{"commits":[{"revision":3,"n":1000000,"events":[{"kind":"commit.staged","id":"01J","events":1000000,"parts":600}]}],"revision":3}`,
			"REVISION TIME ACTOR WHAT REASON ID\n3 - - 1,000,000 events - -\n"},
		{"kv put raft v", `{"status":"success","key":"raft","revision":12}`, "raft: set at revision 12\n"},
		{"kv delete raft", `{"status":"success","key":"raft","existed":true,"revision":13}`, "raft: deleted at revision 13\n"},
		{"kv delete raft", `{"status":"success","key":"a\nb","existed":false,"revision":13}`, "\"a\\nb\": was not there at revision 13\n"},
		{"kv get raft", `{"key":"raft","value":"a\n\nb"}`, "a\n\nb\n"},
		{"kv get raft", `{"key":"raft","value":"a\n"}`, "a\n"},
		{"-o json kv get raft", `{"key":"raft","value":"a"}`, "{\n \"key\": \"raft\",\n \"value\": \"a\"\n}\n"},
		{"kv list", `{"b":"2","a":"1\t1","c":"` + strings.Repeat("x", 100) + `"}`, "KEY VALUE\na \"1\\t1\"\nb 2\nc " + strings.Repeat("x", 60) + "…\n"},
		{"-o yaml kv list", `{"b":"2"}`, "b: \"2\"\n"},
		{"kv history raft", `{"key":"raft","changes":[{"revision":5,"time":"T","actor":"alice","event":"delete"},{"revision":3,"time":"T","actor":"bob","event":"put","value":"v","reason":"why"}],"log_begins":1}`,
			"REVISION TIME ACTOR EVENT VALUE REASON\n5 T alice delete - -\n3 T bob put v why\n"},
		{"kv history raft --limit 1", `{"key":"raft","changes":[{"revision":5,"time":"T","actor":"alice","event":"delete"}],"next":5,"log_begins":2}`,
			"REVISION TIME ACTOR EVENT VALUE REASON\n5 T alice delete - -\n(more: --before 5)\n"},
		{"kv history raft", `{"key":"raft","changes":[],"log_begins":2}`, "REVISION TIME ACTOR EVENT VALUE REASON\n(the log begins at revision 2)\n"},
		{"-o json status", `{"revision":3}`, "{\n  \"revision\": 3\n}\n"},
		{"log list", `{"commits":[{"revision":3}],"revision":500}`,
			"REVISION TIME ACTOR WHAT REASON ID\n3 - - nothing changed - -\n(the newest 20 of 500; --last for more, --after 0 from the beginning)\n"},
		{"log list --after 2 --limit 1", `{"commits":[{"revision":3}],"next":3,"revision":500}`,
			"REVISION TIME ACTOR WHAT REASON ID\n3 - - nothing changed - -\n(more: --after 3)\n"},
		{"router rib r1", `{"router":"r1","rib":[{"destination":"10.1.0.0/16","candidates":[{"router":"r1","next_hop":"192.0.2.1","preference":200,"metric_here":0,"chosen":false,"why":"higher preference (200 > 1)"},{"router":"r3","interface":"lan","preference":1,"metric_here":2,"chosen":true,"why":"best, from r3 at distance 2"}]}],"next":"10.1.0.0/16"}`,
			"DESTINATION CHOSEN ROUTER NEXT HOP PREF METRIC WHY\n10.1.0.0/16 no r1 192.0.2.1 200 0 higher preference (200 > 1)\n10.1.0.0/16 yes r3 dev lan 1 2 best, from r3 at distance 2\n(more: --after 10.1.0.0/16)\n"},
		{"router fib r1", `{"router":"r1","fib":[{"destination":"10.1.0.0/16","class":"ab","next_hops":[{"next_hop":"10.0.0.2","via":"r2","weight":1}]}]}`,
			"DESTINATION CLASS NEXT HOPS\n10.1.0.0/16 ab 10.0.0.2 via r2\n"},
		{"link set r1 r2", `{"a":"r1","b":"r2","status":"link set","revision":4}`, "r1 r2: link set at revision 4\n"},
		{"link list", `{"links":[{"a":"r1","b":"r2","cost_ab":1,"cost_ba":2,"down":false,"observed":{"r1":"up","r2":"down"},"revision":4},{"a":"r1","b":"r3","name":"x","down":true}]}`,
			"A B NAME COST A>B COST B>A ADDRESS A ADDRESS B STATE REVISION\nr1 r2 - 1 2 - - up, down for r2, UNUSABLE from r1 and r2 4\nr1 r3 x - - - - down, UNUSABLE from r1 and r3 -\n"},
		{"router list", `{"routers":[{"router":"r1","declared":true,"dataplane":false,"tags":["a","b"],"revision":4},{"router":"r2","declared":false,"dataplane":true,"revision":0}]}`,
			"ROUTER DECLARED DATA PLANE DESCRIPTION TAGS REVISION\nr1 yes no - a, b 4\nr2 no yes - - -\n"},
		{"route lookup 10.9.0.1 --router r1", `{"destination":"10.9.0.0/16","router":"r1","class":"ab","next_hops":[{"next_hop":null,"type":"blackhole","weight":1}],"revision":4,"source":"controller"}`,
			"destination 10.9.0.0/16\nnext hop blackhole\nclass ab\nanswered by controller of r1 at revision 4\n"},
		{"-o yaml version", "", "go: "}, // a prefix
		{"-o yaml status", `{"bytes":123456789012,"most":18446744073709551615,"share":0.5}`, "bytes: 123456789012\nmost: 18446744073709551615\nshare: 0.5\n"},
		{"router get r1", `{"bytes":18446744073709551615}`, "bytes 18446744073709551615\n"},
		{"router get r1", `{"tags":["a","b"],"revision":9,"changed":8,"declared":true,"router":"r1"}`, "router r1\ndeclared yes\ntags a, b\nchanged 8\nrevision 9\n"},
		{"-o yaml status", `{"revision":3,"a":[1]}`, "a:\n  - 1\nrevision: 3\n"},
	} {
		got, err := run(t, &exchange{code: 200, answer: test.answer}, strings.Fields(test.args)...)
		if err != nil {
			t.Errorf("%s: %v", test.args, err)
		}
		if test.answer == "" && strings.HasPrefix(got, test.want) {
			continue
		}
		if squeeze(got) != squeeze(test.want) {
			t.Errorf("%s:\n%s\nwant\n%s", test.args, got, test.want)
		}
	}
}

// squeeze makes the alignment of columns irrelevant.
func squeeze(s string) string {
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		lines[i] = strings.Join(strings.Fields(l), " ")
	}
	return strings.Join(lines, "\n")
}

func TestExitCodes(t *testing.T) {
	for _, test := range []struct {
		args string
		code int
		want int
	}{
		{"status", 200, ExitOK},
		{"status", 400, ExitUsage},
		{"status", 404, ExitNotFound},
		{"status", 410, ExitNotFound},
		{"status", 409, ExitConflict},
		{"status", 412, ExitConflict},
		{"status", 422, ExitConflict},
		{"status", 500, ExitFailure},
		{"--timeout 50ms status", 503, ExitUnavailable},
		{"--timeout 50ms status", 504, ExitUnavailable},
		{"ready", 200, ExitOK},
		{"--timeout 50ms ready", 503, ExitUnavailable},
		{"route add 10.0.0.0/8 10.1.1.1 --wait installed", 202, ExitUnavailable},
		{"-o xml status", 200, ExitUsage},
		{"log show last", 200, ExitUsage},
		{"log show 8 --limit 10001", 200, ExitUsage},
		{"log show 8 --all --cursor 5", 200, ExitUsage},
		{"nonsense", 200, ExitUsage},
		{"route nonsense", 200, ExitUsage},
		{"route add", 200, ExitUsage},
		{"status --nonsense", 200, ExitUsage},
		{"node", 200, ExitUsage}, // with --endpoint, which it does not take
		{"route", 200, ExitOK},
		{"version", 200, ExitOK},
		{"route import /does/not/exist", 200, ExitUsage},
		{"route get 10.2.0.0", 200, ExitUsage},
		{"route delete default", 200, ExitUsage},
		{"dataplane lookup 10.0.0.1 --router r1 --at 127.0.0.1:1", 200, ExitUsage},
		{"dataplane lookup ten --at 127.0.0.1:1", 200, ExitUsage},
		{"dataplane lookup 10.0.0.1 --at 127.0.0.1:1", 200, ExitUnavailable},
		{"dataplane show --at 127.0.0.1:1", 200, ExitUnavailable},
		{"log verify --etcd a:1 --data-dir /tmp", 200, ExitUsage},
		{"kv put", 200, ExitUsage},
		{"kv put k v --file x", 200, ExitUsage},
		{"route delete 10.0.0.0/8 --router=", 200, ExitUsage}, // an unset variable means no router, not all
		{"route delete 10.0.0.0/8 --next-hop=", 200, ExitUsage},
		{"route list --tag=", 200, ExitUsage},
		{"kv put k --file /does/not/exist", 200, ExitUsage},
		{"kv put k \xff", 200, ExitUsage},
		{"kv history k --limit 0", 200, ExitUsage},
		{"kv get k", 404, ExitNotFound},
		{"kv put k v", 507, ExitFailure},
		{"kv put k v --if-absent", 412, ExitConflict},
		{"kv watch", 410, ExitNotFound},
		{"-o xml kv watch", 200, ExitUsage},
		{"route add 10.0.0.0/8 10.1.1.1 --metric -1", 200, ExitUsage},
		{"route add 10.0.0.0/8 10.1.1.1 --weight 257", 200, ExitUsage},
	} {
		_, err := run(t, &exchange{code: test.code, answer: `{"title":"x"}`}, strings.Fields(test.args)...)
		if got := ExitCode(err); got != test.want {
			t.Errorf("%s answered %d: exit %d (%v), want %d", test.args, test.code, got, err, test.want)
		}
	}
	if _, err := run(t, &exchange{code: 409, answer: `{"type":"/problems/no-dataplane","title":"x","status":409}`}, "route", "list"); ExitCode(err) != ExitUnavailable {
		t.Errorf("no data plane: exit %d (%v)", ExitCode(err), err)
	}
	if ExitCode(client.ErrUnreachable) != ExitUnavailable || ExitCode(errors.New("x")) != ExitFailure {
		t.Error("codes of plain errors")
	}
}

func TestImportNamesEncodingAndRefusals(t *testing.T) {
	file := filepath.Join(t.TempDir(), "table.ndjson.zst")
	if err := os.WriteFile(file, []byte("compressed"), 0o600); err != nil {
		t.Fatal(err)
	}
	e := &exchange{code: 200, answer: `{"accepted":1,"refused":[{"line":2,"field":"metric","reason":"too large"}],"first_revision":2,"last_revision":2}`}
	out, err := run(t, e, "route", "import", file, "--idempotency-key", "k1")
	if e.header.Get("Content-Encoding") != "zstd" || e.header.Get("Content-Type") != "application/x-ndjson" || e.header.Get("Idempotency-Key") != "k1" {
		t.Errorf("headers %v", e.header)
	}
	if !strings.Contains(out, "line 2: metric: too large") || ExitCode(err) != ExitUsage {
		t.Errorf("%v\n%s", err, out)
	}
}

// Where every line is refused the answer is an error, which has the list.
func TestImportNamesAllRefusals(t *testing.T) {
	s := httptest.NewServer(&exchange{code: 400, answer: `{"title":"Invalid request","detail":"line 1: no","accepted":0,"refused":[{"line":1,"reason":"no"},{"line":2,"field":"metric","reason":"too large"}],"refused_count":7}`})
	defer s.Close()
	var out, errOut bytes.Buffer
	root := Root(Streams{In: strings.NewReader("a\nb\n"), Out: &out, Err: &errOut})
	root.SetArgs([]string{"--endpoint", s.URL, "route", "import", "-"})
	err := root.Execute()
	if ExitCode(err) != ExitUsage {
		t.Errorf("%v", err)
	}
	told := errOut.String() + "dvr: " + message(err)
	for _, want := range []string{"line 1: no", "line 2: metric: too large", "7 lines in all"} {
		if strings.Count(told, want) != 1 {
			t.Errorf("%q is not told once in\n%s", want, told)
		}
	}
}

func TestNumbers(t *testing.T) {
	_, err := run(t, &exchange{code: 200, answer: "{}"}, "route", "add", "10.0.0.0/8", "10.1.1.1", "--metric", "-1")
	if err == nil || !strings.Contains(err.Error(), "--metric") || !strings.Contains(err.Error(), "a whole number from 0 to 4294967295") {
		t.Errorf("%v", err)
	}
}

// The etcd of a log is asked for at the node: what it says, else what follows
// from its Raft address.
func TestEtcdOfANode(t *testing.T) {
	for _, test := range []struct{ etcd, raft, want string }{
		{"", "127.0.0.1:8300", "127.0.0.1:2379"},
		{"", "[::1]:8302", "[::1]:2381"},
		{"10.0.0.1:4001", "127.0.0.1:8300", "10.0.0.1:4001"},
		{"", "", ""}, {"", "x", ""}, {"", "127.0.0.1:1", ""},
	} {
		if got := (nodeAddresses{test.etcd, test.raft}).clients(); got != test.want {
			t.Errorf("%+v: %q", test, got)
		}
	}
}

// TestStoredTextIsPrintable: what others stored moves no cursor and forges no line.
func TestStoredTextIsPrintable(t *testing.T) {
	for stored, want := range map[string]string{
		"Zürich, Österreich — 東京 \"core\"": "Zürich, Österreich — 東京 \"core\"",
		"\x1b[31mEVIL\nrevision  99\x00":   `\x1b[31mEVIL\nrevision  99\x00`,
		"a\tb":                             `a\tb`,
		"\u202egnp.exe":                    `\u202egnp.exe`,
		"say \"no\"\r":                     `say "no"\r`,
	} {
		if got := text(stored); got != want {
			t.Errorf("%q: %s, want %s", stored, got, want)
		}
	}
	e := &exchange{code: 200, answer: `{"routers":[{"router":"r1","declared":true,"description":"\u001b[31mEVIL\nr9 forged","revision":4}]}`}
	if out, err := run(t, e, "router", "list"); err != nil || strings.Contains(out, "\x1b") || strings.Count(out, "\n") != 2 {
		t.Errorf("%v %q", err, out)
	}
}

func TestHelpNamesTheExitCodes(t *testing.T) {
	var out bytes.Buffer
	root := Root(Streams{Out: &out, Err: &out})
	root.SetArgs([]string{"--help"})
	if err := root.Execute(); err != nil {
		t.Fatal(err)
	}
	for _, code := range []int{ExitOK, ExitFailure, ExitUsage, ExitNotFound, ExitConflict, ExitUnavailable, ExitInterrupted} {
		if !strings.Contains(out.String(), fmt.Sprintf("\n  %-4d ", code)) {
			t.Errorf("code %d is not in\n%s", code, out.String())
		}
	}
}

func TestExportToFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "table.ndjson")
	e := &exchange{code: 200, answer: "{\"destination\":\"10.0.0.0/8\"}\n"}
	if _, err := run(t, e, "route", "export", "-f", file); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(file)
	if err != nil || string(got) != e.answer || e.header.Get("Accept") != "application/x-ndjson" {
		t.Errorf("%q %v %v", got, err, e.header)
	}
}

// TestExportIsCompressedByName: what an import takes for compressed is.
func TestExportIsCompressedByName(t *testing.T) {
	dir := t.TempDir()
	e := &exchange{code: 200, answer: strings.Repeat("{\"destination\":\"10.0.0.0/8\"}\n", 1000)}
	for name, reader := range map[string]func(io.Reader) (io.Reader, error){
		"t.gz":  func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) },
		"t.zst": func(r io.Reader) (io.Reader, error) { return zstd.NewReader(r) },
	} {
		file := filepath.Join(dir, name)
		if _, err := run(t, e, "route", "export", "-f", file); err != nil {
			t.Fatal(err)
		}
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		r, err := reader(bytes.NewReader(raw))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got, err := io.ReadAll(r); err != nil || string(got) != e.answer || len(raw) > len(got)/4 {
			t.Errorf("%s: %d bytes of %d, %v", name, len(raw), len(got), err)
		}
	}
}

// TestCutExportLeavesTheFile: a stream that breaks off replaces nothing.
func TestCutExportLeavesTheFile(t *testing.T) {
	dir := t.TempDir()
	file, link := filepath.Join(dir, "table.ndjson"), filepath.Join(dir, "link")
	if err := os.WriteFile(file, []byte("old\n"), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(file, link); err != nil {
		t.Fatal(err)
	}
	expect := func(want string, err error, failed bool) {
		t.Helper()
		got, _ := os.ReadFile(file)
		info, statErr := os.Stat(file)
		list, _ := os.ReadDir(dir)
		if string(got) != want || (err != nil) != failed || statErr != nil || info.Mode().Perm() != 0o640 || len(list) != 2 {
			t.Errorf("%q %v, %v, %d files", got, err, info.Mode(), len(list))
		}
	}
	cut := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "{\"destination\":\"10.0.0.0/8\"}\n")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}))
	defer cut.Close()
	export := func(to string) error {
		var out bytes.Buffer
		root := Root(Streams{Out: &out, Err: &out})
		root.SetArgs([]string{"--endpoint", cut.URL, "route", "export", "-f", to})
		return root.Execute()
	}
	expect("old\n", export(file), true)
	expect("old\n", export(link), true)
	e := &exchange{code: 200, answer: "new\n"}
	_, err := run(t, e, "route", "export", "-f", link)
	expect("new\n", err, false)
	if target, err := os.Readlink(link); err != nil || target != file {
		t.Errorf("the link: %q %v", target, err)
	}
}

func TestMessages(t *testing.T) {
	for _, test := range []struct {
		err  error
		want string
	}{
		{errors.New("plain"), "plain"},
		{&client.Problem{Detail: "metric: too large", Field: "metric"}, "metric: too large"},
		{&client.Problem{Detail: "too large", Field: "metric"}, "metric: too large"},
		{&client.Problem{Detail: "precondition failed", Status: 412}, "precondition failed\nIt has changed since: get it again, its new tag is in the last line."},
		{&client.Problem{Detail: "reused", Status: 422}, "reused\nTake another --idempotency-key, or none."},
		{&client.Problem{Detail: "outcome unknown", ID: "k"}, "outcome unknown\nRepeat it safely with --idempotency-key k"},
	} {
		if got := message(test.err); got != test.want {
			t.Errorf("%v: %q, want %q", test.err, got, test.want)
		}
	}
}

func TestEveryCommandExplainsItself(t *testing.T) {
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		if cmd.Short == "" {
			t.Errorf("%s has no help", cmd.CommandPath())
		}
		for _, child := range cmd.Commands() {
			walk(child)
		}
	}
	var out bytes.Buffer
	root := Root(Streams{Out: &out, Err: &out})
	walk(root)
	for _, args := range []string{"completion bash", "completion zsh", "node --help", "version -o json"} {
		out.Reset()
		root := Root(Streams{Out: &out, Err: &out})
		root.SetArgs(strings.Fields(args))
		if err := root.Execute(); err != nil || out.Len() < 50 {
			t.Errorf("%s: %v %q", args, err, out.String())
		}
		if args == "node --help" && (!strings.Contains(out.String(), "--raft-addr") || strings.Contains(out.String(), "--endpoint ")) {
			t.Errorf("help of node:\n%s", out.String())
		}
	}
}

// Errors of usage say how the command is used, one that no node answered where
// it was looked for; an item names its tag.
func TestErrorsSayWhatToDo(t *testing.T) {
	for _, test := range []struct{ args, want string }{
		{"route add", "received 0\nUsage: dvr route add DESTINATION [NEXT_HOP] [flags]\n       dvr route add --help"},
		{"route nonsense", "Usage: dvr route COMMAND\n"},
		{"rout", `unknown command "rout" for "dvr"; did you mean route`},
		{"route lst", `unknown command "lst" for "dvr route"; did you mean get or list or set?`},
		{"route add 10.2.0.0/16 10.0.0.1 100", "a metric is given by a flag: --metric 100"},
		{"route set 10.2.0.0/33 10.0.0.1", `destination "10.2.0.0/33": the length 33 is over 32`},
		{"route get fd00::/129", `the length 129 is over 128`},
		{"route add 10.2.0.0 10.0.0.1", "a prefix needs a length, try 10.2.0.0/16 or 10.2.0.0/32"},
		{"route add 10.2.0.1 10.0.0.1", "a prefix needs a length, try 10.2.0.1/32"},
		{"route delete fd00:0:1::", "a prefix needs a length, try fd00:0:1::/48 or fd00:0:1::/128"},
		{"route get 0.0.0.0", "try 0.0.0.0/0 or 0.0.0.0/32"},
		{"route add default 10.0.0.1", "a default route is 0.0.0.0/0 or ::/0"},
		{"route add --nonsense", "Usage: dvr route add DESTINATION"},
		{"--endpoint 127.0.0.1:1 --timeout 1s route list", "Is a node running at 127.0.0.1:1? If it is elsewhere, say where: --endpoint HOST:PORT, or for all\ncommands: export DVR_ENDPOINTS=HOST:PORT"},
		{"--endpoint 127.0.0.1:1 --timeout 1s route export", "Is a node running at 127.0.0.1:1?"},
		{"dataplane show --timeout 1s --at 127.0.0.1:1", "--at names its --listen address"},
	} {
		var out bytes.Buffer
		root := Root(Streams{Out: &out, Err: &out})
		root.SetArgs(strings.Fields(test.args))
		if err := root.Execute(); err == nil || !strings.Contains(message(err), test.want) {
			t.Errorf("%s: %v\nwant %s", test.args, err, test.want)
		}
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("ETag", `"1-2-ab"`)
		io.WriteString(w, `{"stale":true}`)
	}))
	defer s.Close()
	for args, tagged := range map[string]bool{"route get 10.0.0.0/8": true, "router get r1": true, "link get r1 r2": true, "-o json route get 10.0.0.0/8": false} {
		var out, errOut bytes.Buffer
		root := Root(Streams{Out: &out, Err: &errOut})
		root.SetArgs(append([]string{"--endpoint", s.URL}, strings.Fields(args)...))
		if err := root.Execute(); err != nil || strings.Contains(out.String(), "--if-match 1-2-ab") != tagged {
			t.Errorf("%s: %v\n%s", args, err, out.String())
		}
		if !strings.Contains(errOut.String(), "no quorum") {
			t.Errorf("%s does not say that the answer is stale: %s", args, errOut.String())
		}
	}
}

// Without a flag this machine's data plane is asked.
func TestLookupAtTheOwnDataPlane(t *testing.T) {
	t.Setenv("DVR_LISTEN", "127.0.0.1:1")
	e := &exchange{code: 200, answer: `{}`}
	_, err := run(t, e, "dataplane", "lookup", "10.0.0.1")
	if ExitCode(err) != ExitUnavailable || !strings.Contains(err.Error(), "data plane at 127.0.0.1:1") || e.request != "" {
		t.Errorf("%v, the node was asked %q", err, e.request)
	}
}

// An empty list of one router's routes says that others have some.
func TestListOfARouterWithoutRoutes(t *testing.T) {
	for all, hint := range map[string]string{
		`{"routes":[{"router":"r1","destination":"10.0.0.0/8"}]}`: "dvr: no such route is of every router (*), but one is router r1's own: leave --router away to see all\n",
		`{"routes":[]}`: "",
	} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Query().Get("within") != "10.0.0.0/8" {
				t.Errorf("asked %s", r.URL)
			}
			if r.URL.Query().Has("router") {
				io.WriteString(w, `{"routes":[]}`)
				return
			}
			io.WriteString(w, all)
		}))
		var out, errOut bytes.Buffer
		root := Root(Streams{Out: &out, Err: &errOut})
		root.SetArgs([]string{"--endpoint", s.URL, "route", "list", "--router", "*", "--within", "10.0.0.0/8"})
		if err := root.Execute(); err != nil || errOut.String() != hint {
			t.Errorf("%s: %v %q", all, err, errOut.String())
		}
		s.Close()
	}
}

func TestNothingToRepair(t *testing.T) {
	for format, want := range map[string]string{"table": "the head fits the batches: nothing to repair\n", "json": "{\n  \"status\": \"the head fits the batches: nothing to repair\"\n}\n"} {
		var out bytes.Buffer
		if err := (&connection{out: &out, output: format}).intact(); err != nil || out.String() != want {
			t.Errorf("%s: %v %q", format, err, out.String())
		}
	}
}

func TestSummaryOfACommit(t *testing.T) {
	for _, test := range []struct{ commit, want string }{
		{`{"n":0,"events":[]}`, "nothing changed"},
		{`{"n":1,"events":[{"kind":"route.announced","destination":"10.0.0.0/8","next_hop":"192.0.2.1","router":"r1","metric":5,"tags":["x"]}]}`, "route.announced 10.0.0.0/8 via 192.0.2.1 of r1 metric 5 tags x"},
		{`{"n":1,"events":[{"kind":"route.announced","destination":"10.0.0.0/8","next_hop":"192.0.2.1","recursive":true,"via_default":true,"preference":20}]}`, "route.announced 10.0.0.0/8 via 192.0.2.1 of * preference 20 recursive via default"},
		{`{"n":1,"events":[{"kind":"route.announced","destination":"10.0.0.0/8","type":"blackhole","origin":"ops"}]}`, "route.announced 10.0.0.0/8 via blackhole of * origin ops"},
		{`{"n":1,"events":[{"kind":"route.withdrawn","destination":"10.0.0.0/8","router":"r1"}]}`, "route.withdrawn 10.0.0.0/8 of r1"},
		{`{"n":1,"events":[{"kind":"link.set","a":"r1","b":"r2","cost_ab":5,"down":true}]}`, "link.set r1-r2: cost_ab 5, down yes"},
		{`{"n":1,"events":[{"kind":"link.observed","a":"r1","b":"r2","router":"r1","state":"down"}]}`, "link.observed r1-r2: router r1, state down"},
		{`{"n":1,"events":[{"kind":"router.set","router":"r1","drained":"soft"}]}`, "router.set r1: drained soft"},
		{`{"n":1,"events":[{"kind":"link.set","a":"r1","b":"r2","name":"x"}]}`, "link.set r1-r2 (x)"},
		{`{"n":1,"events":[{"kind":"router.removed","router":"r1"}]}`, "router.removed r1"},
		{`{"n":1,"events":[{"kind":"key.put","key":"k","value":"v"}]}`, "key.put k = v"},
		{`{"n":1,"events":[{"kind":"epoch.started","epoch":1,"log_id":"x"}]}`, "epoch.started 1"},
		{`{"n":1,"events":[{"kind":"strange"}]}`, "strange"},
		{`{"n":3,"events":[{"kind":"b"},{"kind":"a"},{"kind":"b"}]}`, "1 a, 2 b"},
		{`{"n":5000}`, "5,000 events"},
	} {
		commit, err := decode([]byte(test.commit))
		if err != nil {
			t.Fatal(err)
		}
		if got := summary(commit); got != test.want {
			t.Errorf("%s: %q, want %q", test.commit, got, test.want)
		}
	}
}

func TestWhoTellsOfBothActors(t *testing.T) {
	for want, commit := range map[string]map[string]any{
		"alice":            {"actor": "alice"},
		"system for alice": {"actor": "system", "for": "alice"},
	} {
		if got := text(who(commit)); got != want {
			t.Errorf("%v: %q, want %q", commit, got, want)
		}
	}
}
