package cli

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// statusOf runs `dvr status` against a node that answers with the two bodies.
func statusOf(t *testing.T, status, planes string) string {
	t.Helper()
	return statusOfMember(t, status, planes, "")
}

// statusOfMember is statusOf where GET /v1/cluster/members answers too; "": 409.
func statusOfMember(t *testing.T, status, planes, members string) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/v1/dataplanes":
			io.WriteString(w, planes)
		case "/v1/cluster/members":
			if members == "" {
				w.WriteHeader(http.StatusConflict)
			}
			io.WriteString(w, members)
		default:
			io.WriteString(w, status)
		}
	}))
	defer s.Close()
	var out bytes.Buffer
	root := Root(Streams{Out: &out, Err: &out})
	root.SetArgs([]string{"--endpoint", s.URL, "status"})
	if err := root.Execute(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

const goodStatus = `{"node_id":"node-1","version":"v1","raft_state":"Leader","quorum":true,"leader":"ab","since":"T0","revision":1067,
"position":{"log_id":"L","epoch":1,"revision":1067},"hash":"ff","level":1,"time":"T1","digest":"dd",
"state":{"destinations4":1062046,"destinations6":7,"routes":1062055,"classes":66,"routers":2,"links":1},
"idempotency_window":{"commits":1067,"since":"T2"},"store":{"etcd":"embedded","bytes":3084288,"quota":8589934592},
"addresses":{"api":"a:1","fib":"a:2","raft":"a:3","etcd":"a:4"},"dataplanes":1}`

const goodPlane = `{"router":"r1","node":"node-1","sink":"memory","sinks":["memory","kernel"],"connected":true,"position":{"revision":1067},"lag":0,"digest_equal":true,"deviates":false,"failed":0,"since":"T3"}`

// TestStatusOfAStoreThatTellsNoQuota: etcd before 3.6 does not.
func TestStatusOfAStoreThatTellsNoQuota(t *testing.T) {
	told := statusOf(t, strings.Replace(goodStatus, `"embedded","bytes":3084288,"quota":8589934592`, `"external","bytes":20480,"quota":0`, 1), `{"dataplanes":[`+goodPlane+`]}`)
	if !strings.Contains(told, "external etcd, 20 KiB\n") {
		t.Error(told)
	}
}

const wantStatus = `node-1 is fine: its data plane is in sync at revision 1067.

NODE
  role          leader
  version       v1
  since         T0
  API           a:1
  data planes   a:2
  Raft          a:3
  etcd clients  a:4
  store         embedded etcd, 2.9 MiB of 8 GiB

LOG
  revision       1067
  newest commit  T1
  epoch, level   1, 1
  log            L
  state digest   dd
  log hash       ff
  idempotency    1,067 commits since T2

TABLE
  destinations  1,062,046 IPv4, 7 IPv6
  routes        1,062,055 in 66 classes
  topology      2 routers, 1 link

DATA PLANES
  ROUTER  STATE    REVISION  LAG  DIGEST  FAILED  SINK            NODE    SINCE
  r1      in sync  1067      0    equal   0       memory, kernel  node-1  T3
`

func TestStatus(t *testing.T) {
	if got := statusOf(t, goodStatus, `{"dataplanes":[`+goodPlane+`]}`); got != wantStatus {
		t.Errorf("got\n%s\nwant\n%s", got, wantStatus)
	}
	if got := statusOf(t, goodStatus, `{"dataplanes":[]}`); !strings.HasPrefix(got, "node-1 is fine; no data plane is known to it.\n") || strings.Contains(got, "DATA PLANES") {
		t.Errorf("without data planes:\n%s", got)
	}
}

// TestFreezesInForce: those that are are told with what they forbid and how they
// are lifted; others not.
func TestFreezesInForce(t *testing.T) {
	body, err := decode([]byte(`{"freezes":[
		{"revision":1,"event":{"kind":"freeze.set","name":"all"}},
		{"revision":2,"event":{"kind":"freeze.set","name":"past","until":"2026-01-01T00:00:00.000Z"}},
		{"revision":3,"event":{"kind":"freeze.set","name":"later","from":"2026-03-01T00:00:00.000Z"}},
		{"revision":4,"event":{"kind":"freeze.set","name":"some","prefixes":["10.0.0.0/8"],"routers":["r1"],"from":"2026-01-01T00:00:00.000Z","until":"2026-03-01T00:00:00.000Z"}}]}`))
	if err != nil {
		t.Fatal(err)
	}
	freezes := inForce(body, time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC))
	status, err := decode([]byte(goodStatus))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	table := newTable(&out)
	overview(table, status, nil, census{}, freezes)
	if err := table.w.Flush(); err != nil {
		t.Fatal(err)
	}
	want := "\nFrozen by all: every route, router and link, until it is removed. `dvr freeze remove all` lifts it.\n" +
		"Frozen by some: destinations inside 10.0.0.0/8 of router r1, until 2026-03-01T00:00:00.000Z. `dvr freeze remove some` lifts it.\n\n"
	if got := out.String(); !strings.Contains(got, want) || strings.Count(got, "Frozen") != 2 {
		t.Errorf("got\n%s\nwant in it\n%s", got, want)
	}
}

// The verdict names each trouble; what it names the particulars show too.
func TestStatusNamesWhatIsNotFine(t *testing.T) {
	swap := func(whole string, pairs ...string) string { return strings.NewReplacer(pairs...).Replace(whole) }
	for _, test := range []struct {
		name, status, plane, verdict, detail string
	}{
		{"no quorum", swap(goodStatus, `"quorum":true`, `"quorum":false`, `"leader":"ab",`, ``), goodPlane, "no quorum: changes are refused", "leader, no leader is known, no quorum"},
		{"insecure", swap(goodStatus, `"dataplanes":1`, `"security":{"transport":"insecure"}`), goodPlane, "it is INSECURE", ""},
		{"a certificate ends", swap(goodStatus, `"dataplanes":1`, `"security":{"transport":"tls","expires":"T","alarm":"renew it"}`), goodPlane, "renew it", ""},
		{"fault", swap(goodStatus, `"dataplanes":1`, `"fault":"hole at 7"`), goodPlane, "what is shown is old: hole at 7", ""},
		{"a data plane that has acknowledged nothing", goodStatus, strings.Replace(strings.Replace(goodPlane, `{"revision":1067}`, `{"revision":0}`, 1), `"digest_equal":true`, `"digest_equal":false`, 1), "the data plane of r1 has just connected", "connecting"},
		{"full", swap(goodStatus, `"bytes":3084288`, `"bytes":6871947673`), goodPlane, "the store is 79 % full", "6.4 GiB of 8 GiB"},
		{"archive", swap(goodStatus, `"dataplanes":1`, `"archive":{"directory":"/var/a","first_revision":1,"revision":900,"problem":"no space left"}`), goodPlane, "the archive: no space left", "revisions 1 to 900 in /var/a"},
		{"no archive", swap(goodStatus, `"dataplanes":1`, `"archive":{"directory":"/var/a","first_revision":0,"revision":0,"problem":"not there"}`), goodPlane, "the archive: not there", "nothing yet in /var/a"},
		{"gone", goodStatus, swap(goodPlane, `"connected":true`, `"connected":false`), "of r1 is disconnected since T3", "disconnected"},
		{"behind", goodStatus, swap(goodPlane, `"lag":0`, `"lag":1`), "of r1 is 1 revision behind", "behind"},
		{"failing", goodStatus, swap(goodPlane, `"failed":0`, `"failed":1200`), "of r1 could not install 1,200 prefixes", "failing"},
		{"deviates", goodStatus, swap(goodPlane, `"deviates":false`, `"deviates":true`), "of r1 deviates", "deviates"},
		{"digest", goodStatus, swap(goodPlane, `"digest_equal":true`, `"digest_equal":false`), "of r1 holds another table", "differs"},
	} {
		other := swap(goodPlane, `"r1"`, `"r2"`)
		got := statusOf(t, test.status, fmt.Sprintf(`{"dataplanes":[%s,%s]}`, test.plane, other))
		verdict, details, _ := strings.Cut(got, "\n\n")
		if !strings.HasPrefix(verdict, "node-1 needs attention:\n  - ") || strings.Count(verdict, "\n") != 1 || !strings.Contains(verdict, test.verdict) {
			t.Errorf("%s: the verdict is\n%s", test.name, verdict)
		}
		if !strings.Contains(details, test.detail) {
			t.Errorf("%s: %q is not in\n%s", test.name, test.detail, details)
		}
	}
}

// A member that is away is no health, though the majority stands.
func TestStatusNamesMembersAway(t *testing.T) {
	voter := func(id string, online bool) string {
		return fmt.Sprintf(`{"node_id":%q,"role":"voter","online":%t}`, id, online)
	}
	for _, test := range []struct{ members, want string }{
		{voter("node-1", true) + "," + voter("node-2", false) + "," + voter("node-3", true),
			"node-1 needs attention:\n  - node-2 is away; the cluster may lose 0 more of its 3 voters\n"},
		{voter("node-1", true) + "," + voter("node-2", true) + "," + voter("node-3", true), "node-1 is fine"},
		{voter("node-1", true) + "," + voter("node-2", true) + "," + voter("node-3", true) + `,{"node_id":"o","role":"observer","online":false}`,
			"node-1 needs attention:\n  - o is away; the cluster may lose 1 more of its 3 voters\n"},
	} {
		if got := statusOfMember(t, goodStatus, `{"dataplanes":[]}`, `{"members":[`+test.members+`]}`); !strings.HasPrefix(got, test.want) {
			t.Errorf("%s:\n%s\nwant %s", test.members, got, test.want)
		}
	}
}

func TestNumbersForReaders(t *testing.T) {
	for given, want := range map[string][2]string{
		`0`: {"0", "0 B"}, `999`: {"999", "999 B"}, `1000`: {"1,000", "1000 B"}, `1024`: {"1,024", "1 KiB"},
		`1062046`: {"1,062,046", "1.0 MiB"}, `8589934592`: {"8,589,934,592", "8 GiB"},
		`18446744073709551615`: {"18,446,744,073,709,551,615", "16777216 TiB"}, `"x"`: {"x", "x"}, `null`: {"-", "-"},
	} {
		v, err := decode([]byte(given))
		if err != nil {
			t.Fatal(err)
		}
		if got := [2]string{grouped(v), size(v)}; got != want {
			t.Errorf("%s: %q, want %q", given, got, want)
		}
	}
}

// TestStatusTellsAlarms: each alarm of a node is a trouble with what to do, and
// its backups are shown.
func TestStatusTellsAlarms(t *testing.T) {
	status := func(alarms string) map[string]any {
		v, err := decode([]byte(`{"quorum":true,"alarms":[` + alarms + `],"archive":{"problem":"old"},"store":{"bytes":99,"quota":100}}`))
		if err != nil {
			t.Fatal(err)
		}
		return v.(map[string]any)
	}
	if got := troublesOf(status(""), nil, census{}); len(got) != 0 {
		t.Errorf("%q", got)
	}
	got := troublesOf(status(`{"alarm":"disk_full","detail":"3 MiB are free","do":"free some"},{"alarm":"certificate","detail":"c","do":"d"}`), nil, census{})
	if len(got) != 1 || got[0] != "3 MiB are free: free some" {
		t.Errorf("%q", got)
	}
	// Those of other nodes are known by what these told; its own are told once.
	members, err := decode([]byte(`{"members":[{"node_id":"a","role":"voter","online":true,"alarms":[{"alarm":"keys_full","detail":"old","do":"old"}]},
		{"node_id":"b","role":"observer","online":true,"alarms":[{"alarm":"disk_slow","detail":"9 of 20 took long","do":"dvr doctor"}]}]}`))
	if err != nil {
		t.Fatal(err)
	}
	asked := status("")
	asked["node_id"] = "a"
	if got := troublesOf(asked, nil, censusOf(members)); len(got) != 1 || got[0] != "b: 9 of 20 took long: dvr doctor" {
		t.Errorf("%q", got)
	}
}
